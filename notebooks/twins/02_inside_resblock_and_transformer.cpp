// Notebook 2 in C++: one ResBlock and one Transformer, a box a line, so that `next` moves by one box.
//
//   tools/debug build/step/tests/notebooks/02_inside_resblock_and_transformer
//   (gdb) break resblock
//   (gdb) break transformer
//   (gdb) run
#include "notebooks/twins/report.h"
#include "tensor/ops.h"

using namespace cutaway;
using namespace cutaway::twins;

namespace {

// Keeps what goes into two layers.
class Inputs : public Observer {
 public:
  Inputs(std::string first, std::string second) : first_(std::move(first)), second_(std::move(second)) {}
  std::vector<Tensor> of_first, of_second;

  void enter(const std::string& path, std::span<Tensor* const> inputs) override {
    if (path != first_ && path != second_) return;
    for (const Tensor* input : inputs) (path == first_ ? of_first : of_second).push_back(*input);
  }

 private:
  std::string first_, second_;
};

// nn/resblock.h#ResBlock, with a number after each box.
Tensor resblock(const ResBlock& block, const Tensor& x, const Tensor& temb) {
  Tensor h = block.norm1(x);
  report("std of ResBlock norm1", std_of(h));
  h = silu(h);
  h = block.conv1(h);
  report("std of ResBlock conv1", std_of(h));

  Tensor t = silu(temb);
  t = (*block.time_emb_proj)(t);
  report("std of ResBlock time_emb_proj", std_of(t));
  h = add_per_channel(h, t);

  h = block.norm2(h);
  report("std of ResBlock norm2", std_of(h));
  h = silu(h);
  h = block.conv2(h);
  report("std of ResBlock conv2", std_of(h));

  const Tensor skip = (*block.conv_shortcut)(x);
  report("std of ResBlock conv_shortcut", std_of(skip));
  h = add(skip, h);
  report("std of ResBlock result", std_of(h));
  return h;
}

// The mean over heads and pixels of some columns of an attention table [N, heads, pixels, tokens], summed.
double attention_on(const Tensor& table, int64_t first_token, int64_t last_token) {
  const int64_t tokens = table.shape()[3], rows = table.count() / tokens;
  double sum = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t token = first_token; token <= last_token; ++token) sum += table.data()[row * tokens + token];
  }
  return sum / static_cast<double>(rows);
}

// nn/attention.h#CrossAttention with its table made before our eyes.
Tensor attention_with_table(const CrossAttention& layer, const Tensor& x, const Tensor& context,
                            Tensor& table) {
  const Tensor q = split_heads(layer.to_q(x), layer.heads);        // [N, heads, T, d]
  const Tensor k = split_heads(layer.to_k(context), layer.heads);  // [N, heads, T', d]
  const Tensor v = split_heads(layer.to_v(context), layer.heads);
  table = attention_probs(q, k, {});  // softmax(q k^T / sqrt(d)): [N, heads, T, T']
  Tensor h = matmul(table, v);
  h = merge_heads(h);
  return layer.to_out(h);
}

// nn/transformer.h#SpatialTransformer, with a number after each box.
Tensor transformer(const SpatialTransformer& layer, const Tensor& x, const Tensor& prompt) {
  const BasicTransformerBlock& block = layer.transformer_blocks[0];
  const std::string inner = "std of Transformer transformer_blocks.0.";

  Tensor h = layer.norm(x);
  report("std of Transformer norm", std_of(h));
  h = layer.proj_in(h);
  report("std of Transformer proj_in", std_of(h));
  Tensor tokens = to_tokens(h);  // [N, H W, C]
  Tensor table;

  h = block.norm1(tokens);
  h = attention_with_table(block.attn1, h, h, table);
  report(inner + "attn1", std_of(h));
  tokens = add(tokens, h);

  h = block.norm2(tokens);
  h = attention_with_table(block.attn2, h, prompt, table);
  report("attention on 'a'", attention_on(table, 1, 1));
  report("attention on 'cat'", attention_on(table, 2, 2));
  report("attention on the end token and the padding", attention_on(table, 3, 23));
  report(inner + "attn2", std_of(h));
  tokens = add(tokens, h);

  h = block.norm3(tokens);
  h = block.ff(h);
  report(inner + "ff", std_of(h));
  tokens = add(tokens, h);

  h = to_image(tokens, x.shape()[2], x.shape()[3]);
  h = layer.proj_out(h);
  report("std of Transformer proj_out", std_of(h));
  h = add(h, x);
  report("std of Transformer result", std_of(h));
  return h;
}

// The latent after step 10 of 20 and the time step that comes next, as in the notebook.
struct Middle {
  Tensor latent;
  float t = 0;
};
Middle middle_of_a_cat(const StableDiffusion& model) {
  GenerateOptions options;
  options.prompt = "a cat";
  options.seed = 1;
  options.guidance_scale = 3;
  Middle middle;
  GenerateEvents events;
  events.step = [&](const Step& step) {
    if (step.index == 9) middle.latent = step.latent;
    if (step.index == 10) middle.t = step.t;
  };
  model.generate(options, {}, events);
  return middle;
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, [](const StableDiffusion& model) {
    const Middle middle = middle_of_a_cat(model);
    const sd::UpBlock& up = model.unet.up_blocks[3];
    Inputs inputs(up.resnets[0].path, up.attentions[0].path);
    {
      const Observe observing(inputs);
      model.unet(middle.latent, std::vector<float>{middle.t}, model.encode_prompt("a cat", {}));
    }
    resblock(up.resnets[0], inputs.of_first[0], inputs.of_first[1]);
    transformer(up.attentions[0], inputs.of_second[0], inputs.of_second[1]);
  });
}
