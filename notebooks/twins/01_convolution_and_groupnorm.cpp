// Notebook 1 in C++: a convolution and a GroupNorm as plain loops, and the mistakes that people make.
//
//   tools/debug build/step/tests/notebooks/01_convolution_and_groupnorm
//   (gdb) break convolution
//   (gdb) run
#include "notebooks/twins/report.h"
#include "samplers/noise/torch_cpu.h"
#include "tensor/ops.h"

using namespace cutaway;
using namespace cutaway::twins;

namespace {

// x [N, in, H, W], already padded   weight [out, in, kh, kw]   bias [out]   ->   [N, out, H', W']
Tensor convolution(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const int64_t images = x.shape()[0], inputs = x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  const int64_t outputs = weight.shape()[0], kh = weight.shape()[2], kw = weight.shape()[3];
  Tensor result({images, outputs, height - kh + 1, width - kw + 1});
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i <= height - kh; ++i) {
        for (int64_t j = 0; j <= width - kw; ++j) {
          double sum = bias.data()[o];
          for (int64_t c = 0; c < inputs; ++c) {
            for (int64_t a = 0; a < kh; ++a) {
              for (int64_t b = 0; b < kw; ++b) {
                sum += x.data()[((n * inputs + c) * height + i + a) * width + j + b] *
                       weight.data()[((o * inputs + c) * kh + a) * kw + b];
              }
            }
          }
          *y++ = static_cast<float>(sum);
        }
      }
    }
  }
  return result;
}

// One pixel more on each side, each the nearest pixel of the picture.
Tensor edges_around(const Tensor& x) {
  const int64_t planes = x.shape()[0] * x.shape()[1], height = x.shape()[2], width = x.shape()[3];
  Tensor result({x.shape()[0], x.shape()[1], height + 2, width + 2});
  float* y = result.mutable_data();
  for (int64_t p = 0; p < planes; ++p) {
    for (int64_t i = -1; i <= height; ++i) {
      for (int64_t j = -1; j <= width; ++j) {
        const int64_t row = std::clamp<int64_t>(i, 0, height - 1),
                      column = std::clamp<int64_t>(j, 0, width - 1);
        *y++ = x.data()[(p * height + row) * width + column];
      }
    }
  }
  return result;
}

// Every kernel turned by 180 degrees.
Tensor flipped(const Tensor& weight) {
  const int64_t taps = weight.shape()[2] * weight.shape()[3];
  Tensor result(weight.shape());
  float* y = result.mutable_data();
  for (int64_t kernel = 0; kernel < weight.count() / taps; ++kernel) {
    for (int64_t tap = 0; tap < taps; ++tap)
      y[kernel * taps + tap] = weight.data()[kernel * taps + taps - 1 - tap];
  }
  return result;
}

struct NormOptions {
  int64_t groups;
  double eps;
  int64_t ddof = 0;  // the variance is divided by the count minus this
  bool eps_outside = false;
};

// x [N, C, H, W]   weight, bias [C]   ->   the same shape as x
Tensor group_norm_by_hand(const Tensor& x, const Tensor& weight, const Tensor& bias,
                          const NormOptions& options) {
  const int64_t images = x.shape()[0], channels = x.shape()[1], pixels = x.shape()[2] * x.shape()[3];
  const int64_t per_group = channels / options.groups, count = per_group * pixels;
  Tensor result(x.shape());
  float* y = result.mutable_data();
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t g = 0; g < options.groups; ++g) {
      const int64_t start = (n * channels + g * per_group) * pixels;
      const float* group = x.data() + start;
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < count; ++i) sum += group[i];
      const double mu = sum / static_cast<double>(count);
      for (int64_t i = 0; i < count; ++i) squares += (group[i] - mu) * (group[i] - mu);
      const double variance = squares / static_cast<double>(count - options.ddof);
      const double deviation =
          options.eps_outside ? std::sqrt(variance) + options.eps : std::sqrt(variance + options.eps);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t c = g * per_group + i / pixels;
        y[start + i] = static_cast<float>((group[i] - mu) / deviation * weight.data()[c] + bias.data()[c]);
      }
    }
  }
  return result;
}

Tensor values_of(const Weight& weight) {
  Tensor values(weight.shape);
  weight.read(0, weight.shape.count(), values.mutable_data());
  return values;
}

double largest_value(const Tensor& x) { return largest_difference(x, Tensor::filled(x.shape(), 0)); }

// [N, 3, H, W] -> [N, 1, H, W]
Tensor mean_of_channels(const Tensor& x) {
  const Tensor red = slice(x, 1, 0, 1), green = slice(x, 1, 1, 2), blue = slice(x, 1, 2, 3);
  return scale(add(add(red, green), blue), 1 / 3.0F);
}

void one_kernel(const StableDiffusion& model) {
  GenerateOptions options;
  options.prompt = "a tree";
  options.seed = 4;
  options.steps = 10;
  options.guidance_scale = 3;
  const Tensor grey = mean_of_channels(model.generate(options).picture);
  report("mean of the grey picture", mean(grey));

  const float edges[] = {-1, 0, 1, -2, 0, 2, -1, 0, 1};
  const Tensor kernel({1, 1, 3, 3}, edges), zero = Tensor::filled({1}, 0);
  const int64_t row = 53, column = 29, at = row * grey.shape()[3] + column;
  const Tensor by_hand = convolution(pad(grey, Padding::all(1)), kernel, zero);
  const Tensor ours = conv2d(grey, Weight::of(kernel), {}, {.padding = Padding::all(1)});
  report("one value by hand", by_hand.data()[at]);
  report("one value of ours", ours.data()[at]);
}

void convolution_of_the_network(const Conv2d& conv_in, const Tensor& noise) {
  const Tensor weight = values_of(conv_in.weight), bias = values_of(*conv_in.bias);
  const Tensor ours = conv_in(noise);
  const Tensor right = convolution(pad(noise, Padding::all(1)), weight, bias);
  std::printf("largest difference: %.1e\n", largest_difference(right, ours));
  report("std of conv_in", std_of(ours));

  const auto error = [&](const std::string& name, const Tensor& wrong) {
    report("error of " + name, largest_difference(wrong, ours));
  };
  const Tensor zeros_around = pad(noise, Padding::all(1));
  error("edge padding", convolution(edges_around(noise), weight, bias));
  error("padding right and bottom", convolution(pad(noise, {.right = 2, .bottom = 2}), weight, bias));
  error("flipped kernel", convolution(zeros_around, flipped(weight), bias));
  error("no bias", convolution(zeros_around, weight, scale(bias, 0)));
}

void group_norm_of_the_network(const UNet& unet, const Tensor& noise) {
  const ResBlock& block = unet.down_blocks[0].resnets[0];
  const Tensor weight = values_of(block.norm2.weight), bias = values_of(block.norm2.bias);
  const int64_t groups = block.norm2.groups;
  const double eps = 1e-5;

  Tensor x = block.norm1(unet.conv_in(noise));
  x = silu(x);
  x = block.conv1(x);
  const Tensor ours = block.norm2(x);
  std::printf("largest difference: %.1e\n",
              largest_difference(group_norm_by_hand(x, weight, bias, {groups, eps}), ours));
  report("std before the norm", std_of(x));
  report("std after the norm", std_of(ours));

  const Tensor small = scale(x, 0.003F);
  const Tensor ours_of_small = block.norm2(small);
  const auto error = [&](const std::string& name, const NormOptions& how) {
    const Tensor wrong = group_norm_by_hand(small, weight, bias, how);
    report("small input, error of " + name,
           largest_difference(wrong, ours_of_small) / largest_value(ours_of_small));
  };
  error("one group", {.groups = 1, .eps = eps});
  error("a group for each channel", {.groups = x.shape()[1], .eps = eps});
  error("ddof=1", {.groups = groups, .eps = eps, .ddof = 1});
  error("eps 1e-6", {.groups = groups, .eps = 1e-6});
  error("eps outside the root", {.groups = groups, .eps = eps, .eps_outside = true});
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, [](const StableDiffusion& model) {
    const Tensor noise = TorchRandom(7).randn({1, 4, 16, 16});
    one_kernel(model);
    convolution_of_the_network(model.unet.conv_in, noise);
    group_norm_of_the_network(model.unet, noise);
  });
}
