#include "tensor/observers/edits.h"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

#include "tensor/error.h"
#include "tensor/files/safetensors.h"
#include "tensor/files/text.h"
#include "tensor/observers/call_names.h"
#include "tensor/ops.h"

namespace cutaway::observers {
namespace {

[[noreturn]] void refuse(const std::string& text, const std::string& reason) {
  throw Error(
      "--edit " + in_quotes(text) + ": " + reason +
      "; an edit is PATH=zero, PATH=identity, PATH=scale:0.5 or PATH=FILE.safetensors[:tensor], and @3 or "
      "@0-9 behind it means these steps only");
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// FILE or FILE:tensor; without a name, the file's only tensor.
Tensor read_replacement(const std::string& text, const std::string& what) {
  std::string path = what, name;
  std::error_code ignored;
  if (const size_t colon = what.rfind(':');
      colon != std::string::npos && !std::filesystem::exists(what, ignored)) {
    path = what.substr(0, colon);
    name = what.substr(colon + 1);
  }
  const SafetensorsFile file = SafetensorsFile::open(path);
  if (name.empty() && file.tensors().size() != 1) {
    refuse(text, path + " holds " + std::to_string(file.tensors().size()) + " tensors, so name one: " + path +
                     ":" + (file.tensors().empty() ? "tensor" : file.tensors().front().name));
  }
  return (name.empty() ? file.tensors().front() : file.at(name)).to_tensor();
}

}  // namespace

Edit parse_edit(const std::string& text) {
  Edit edit{.text = text};
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) refuse(text, "there is no PATH= in it");
  edit.pattern = text.substr(0, equals);
  std::string what = text.substr(equals + 1);

  if (const size_t at = what.rfind('@'); at != std::string::npos) {
    const std::string_view steps = std::string_view(what).substr(at + 1);
    const size_t dash = steps.find('-');
    const bool good = dash == std::string_view::npos
                          ? read_number(steps, edit.first_step) && read_number(steps, edit.last_step)
                          : read_number(steps.substr(0, dash), edit.first_step) &&
                                read_number(steps.substr(dash + 1), edit.last_step);
    if (!good || edit.first_step < 0 || edit.last_step < edit.first_step)
      refuse(text, "'" + std::string(steps) + "' is no range of steps");
    what.resize(at);
  }

  if (what == "zero") {
    edit.kind = Edit::Kind::zero;
  } else if (what == "identity") {
    edit.kind = Edit::Kind::identity;
  } else if (what.starts_with("scale:")) {
    edit.kind = Edit::Kind::scale;
    if (!read_number(std::string_view(what).substr(6), edit.factor) || !std::isfinite(edit.factor))
      refuse(text, "'" + what.substr(6) + "' is no number to scale by");
  } else if (what.find(".safetensors") != std::string::npos) {
    edit.kind = Edit::Kind::tensor;
    edit.replacement = read_replacement(text, what);
  } else {
    refuse(text, "'" + what + "' is nothing that a layer can give instead");
  }
  return edit;
}

Editor::Editor(std::vector<Edit> edits) : edits_(std::move(edits)), reached_(edits_.size()) {}

void Editor::enter(const std::string& path, std::span<Tensor* const> inputs) {
  open_.push_back({path, inputs.empty() ? Tensor() : *inputs[0]});
}

void Editor::value(const std::string& path, Tensor& value) {
  Tensor input;
  if (!open_.empty() && open_.back().path == path) {
    input = std::move(open_.back().input);
    open_.pop_back();
  }
  for (size_t i = 0; i < edits_.size(); ++i) {
    const Edit& edit = edits_[i];
    const int step = trace::step();
    if (edit.first_step >= 0 && (step < edit.first_step || step > edit.last_step)) continue;
    if (!path_fits(edit.pattern, path)) continue;
    ++reached_[i][path];
    switch (edit.kind) {
      case Edit::Kind::zero:
        value = Tensor::filled(value.shape(), 0);
        break;
      case Edit::Kind::identity:
        if (input.empty())
          throw Error("--edit " + in_quotes(edit.text) + ": " + path + " has no input to give on");
        if (input.shape() != value.shape()) {
          throw Error("--edit " + in_quotes(edit.text) + ": " + path + " takes " + to_string(input.shape()) +
                      " and gives " + to_string(value.shape()) +
                      ", so it cannot give its input on; zero or scale can be had");
        }
        value = input;
        break;
      case Edit::Kind::scale:
        value = scale(value, edit.factor);
        break;
      case Edit::Kind::tensor:
        if (edit.replacement.shape() != value.shape()) {
          throw Error("--edit " + in_quotes(edit.text) + ": " + path + " gives " + to_string(value.shape()) +
                      ", but the tensor of the file is " + to_string(edit.replacement.shape()));
        }
        value = edit.replacement;
        break;
    }
  }
}

void Editor::must_have_reached_all() const {
  for (size_t i = 0; i < edits_.size(); ++i) {
    if (!reached_[i].empty()) continue;
    throw Error("--edit " + in_quotes(edits_[i].text) +
                " reached no layer, so the picture would be the same as "
                "without it; `cutaway trace` lists the layers' paths and steps");
  }
}

}  // namespace cutaway::observers
