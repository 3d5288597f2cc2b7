// The .npy format, byte for byte.
#include <cstring>

#include "tensor/files/npy.h"
#include "tests/check.h"
#include "tests/tensor/files/files.h"

using namespace cutaway;
using namespace cutaway::test;

namespace {

// The description that a tensor of this shape gets, after checking everything around it.
std::string description_of(const Shape& shape) {
  const TemporaryFolder folder;
  const Tensor tensor = random_tensor(shape, 1);
  write_npy(folder / "x.npy", tensor);
  const std::string bytes = read_bytes(folder / "x.npy");
  REQUIRE(bytes.size() > 10);
  CHECK(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  const size_t length = static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
  CHECK((10 + length) % 64 == 0);
  REQUIRE(bytes.size() == 10 + length + static_cast<size_t>(tensor.count()) * 4);
  CHECK(std::memcmp(bytes.data() + 10 + length, tensor.data(), static_cast<size_t>(tensor.count()) * 4) == 0);
  std::string description = bytes.substr(10, length);
  CHECK(description.back() == '\n');
  return description.substr(0, description.find_last_not_of(" \n") + 1);
}

}  // namespace

TEST_CASE("npy: the header for every rank") {
  const std::string start = "{'descr': '<f4', 'fortran_order': False, 'shape': ";
  CHECK(description_of(Shape{}) == start + "(), }");
  CHECK(description_of({5}) == start + "(5,), }");  // "(5)" would be a number in Python, not a tuple
  CHECK(description_of({2, 3}) == start + "(2, 3), }");
  CHECK(description_of({2, 3, 4}) == start + "(2, 3, 4), }");
  CHECK(description_of({1, 4, 7, 9}) == start + "(1, 4, 7, 9), }");
}

TEST_CASE("npy: the numbers are little-endian, row by row") {
  const TemporaryFolder folder;
  const float values[] = {1, -2, 0.5F, 256};
  write_npy(folder / "x.npy", Tensor({2, 2}, values));
  const std::string bytes = read_bytes(folder / "x.npy");
  const std::string expected("\x00\x00\x80\x3F\x00\x00\x00\xC0\x00\x00\x00\x3F\x00\x00\x80\x43", 16);
  CHECK(bytes.substr(bytes.size() - 16) == expected);
}

TEST_CASE("npy: errors") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { write_npy(folder / "x.npy", Tensor()); }), "holds no numbers"));
  CHECK(contains(error_of([&] { write_npy(folder.path(), Tensor::filled({2}, 1)); }), "it is a folder"));
  CHECK(folder.entries() == 0);
}
