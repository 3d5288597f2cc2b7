"""The one line about each variable of tests/tools/gdb/subject.cpp; gdb and LLDB must show the same."""

LINES = {
    "small": "Tensor [2, 3] f32  min 1 max 6 mean 3.5 std 1.708 nan 0  {1, 2, 3, 4, 5, 6}",
    "broken": "Tensor [5] f32  min 1 max 3 mean 2 std 1 nan 1 inf 2  {1, nan, 3, inf, -inf}",
    "one": "Tensor [] f32  min 7 max 7 mean 7 std 0 nan 0  {7}",
    "large": "Tensor [1, 8, 1024, 1024] f32  min 2 max 2 mean 2 std 0 nan 0 (of 4194304 of its 8388608 numbers)"
             "  {2, 2, 2, 2, 2, 2, ...}",
    "empty": "Tensor, empty",
    "given": "Tensor, moved away: its numbers, [2, 2], belong to another Tensor now",
    "taken": "Tensor [2, 2] f32  min 1 max 4 mean 2.5 std 1.118 nan 0  {1, 2, 3, 4}",
    "shape": "[1, 320, 64, 64]",
    "half": "Weight conv_in.bias [3] f16  min -2 max 1 mean -0.1667 std 1.312 nan 0  {1, -2, 0.5}",
    "brain": "Weight conv_in.bias [3] bf16  min -2 max 3.141 mean 0.7135 std 2.108 nan 0  {1, -2, 3.141}",
    "packed": "Weight proj.weight [1, 32] q8_0  min 0 max 15.5 mean 7.75 std 4.617 nan 0  {0, 0.5, 1, 1.5, 2, 2.5, ...}",
    "plain": "Weight conv_in.weight [2, 3] f32  min 1 max 6 mean 3.5 std 1.708 nan 0  {1, 2, 3, 4, 5, 6}",
    "unloaded": "Weight, not loaded; its layer needs [320, 4, 3, 3]",
    "later": "Tensor, not made yet",
    "uninitialised": "Tensor, not made yet or damaged: its rank is -1515870811",
    "zeroed": "Tensor, not made yet or damaged: its shape is [], but its count 0",
    "wrong_count": "Tensor, not made yet or damaged: its shape is [2, 3000000], but its count 6",
    "wrong_pointer": "Tensor, not made yet or damaged: its data_ is not the block it owns",
    "wrong_rank": "Tensor, not made yet or damaged: its rank is 17",
    "too_long": "Tensor, not made yet or damaged: its shape is [2000, 3], but its block has 64 bytes",
    "given_back": "Tensor, not made yet or damaged: its block has been given back",
    "unmade_weight": "Weight, not made yet or damaged: its rank is 1515870810",
}
