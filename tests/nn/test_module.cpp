// What `each` names: weights and layers, in picture order.
#include <doctest/doctest.h>

#include "nn/module.h"
#include "nn/resblock.h"

using namespace cutaway;

TEST_CASE("names come in picture order, with the checkpoint's names") {
  ResBlock block(4, 6, 8, 2, 1e-5F);
  std::string names;
  for_each_weight(block, "r", [&](const std::string& name, const Weight&) { names += name + " "; });
  CHECK(
      names ==
      "r.norm1.weight r.norm1.bias r.conv1.weight r.conv1.bias r.time_emb_proj.weight r.time_emb_proj.bias "
      "r.norm2.weight r.norm2.bias r.conv2.weight r.conv2.bias r.conv_shortcut.weight r.conv_shortcut.bias ");
  CHECK(parameter_count(block) == 4 + 4 + 4 * 6 * 9 + 6 + 8 * 6 + 6 + 6 + 6 + 6 * 6 * 9 + 6 + 4 * 6 + 6);
}

TEST_CASE("every layer inside gets its path, and optional parts that are not there have none") {
  ResBlock block(4, 4, 0, 2, 1e-5F);  // no time step, no shortcut
  set_paths(block, "vae.mid_block");
  std::string paths;
  for_each_module(block, "vae.mid_block", [&](const std::string& path, const Module& module) {
    CHECK(module.path == path);
    paths += path + " ";
  });
  CHECK(paths ==
        "vae.mid_block vae.mid_block.norm1 vae.mid_block.conv1 vae.mid_block.norm2 vae.mid_block.conv2 ");
  CHECK(join_path("", "conv1") == "conv1");
}
