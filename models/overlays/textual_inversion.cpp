#include "models/overlays/textual_inversion.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "models/checkpoints/tensor_set.h"
#include "tensor/error.h"
#include "tensor/files/text.h"
#include "tensor/ops.h"

namespace cutaway {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view comfyui_prefix = "embedding:";

std::string in_small_letters(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool is_word_letter(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Does text[begin, end) stand alone, where its ends are letters?
bool stands_alone(const std::string& text, size_t begin, size_t end) {
  const bool joined_before = begin > 0 && is_word_letter(text[begin]) && is_word_letter(text[begin - 1]);
  const bool joined_behind = end < text.size() && is_word_letter(text[end - 1]) && is_word_letter(text[end]);
  return !joined_before && !joined_behind;
}

bool is_rows(const StoredTensor& tensor) {
  const bool number = tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16";
  return number && (tensor.shape.size() == 1 || tensor.shape.size() == 2) && tensor.shape.back() > 0;
}

// The tensor with the vectors, and the word that the file calls it by, or "".
std::pair<const StoredTensor*, std::string> rows_in(const TensorSet& tensors) {
  std::vector<const StoredTensor*> found;
  for (const StoredTensor* tensor : tensors.tensors()) {
    if (is_rows(*tensor) && (tensor->name == "emb_params" || tensor->name.starts_with("string_to_param.")))
      return {tensor, ""};
    if (is_rows(*tensor)) found.push_back(tensor);
  }
  if (found.size() == 1 && tensors.tensors().size() == 1) {
    const std::string& name = found.front()->name;
    return {found.front(), name.starts_with("<") && name.ends_with(">") ? name : ""};
  }
  for (const StoredTensor* tensor : found) {
    if (tensor->name == "clip_g" || tensor->name == "clip_l") {
      throw Error(tensors.path() +
                  " is a textual inversion for SDXL, which has two text encoders (clip_l and clip_g); "
                  "Stable Diffusion 1.x needs one that was trained for it");
    }
  }
  throw Error(
      tensors.path() +
      " is no textual inversion: it has neither emb_params nor string_to_param nor a single tensor of "
      "vectors; `cutaway inspect` says what it is");
}

std::string problem_of(const std::string& path, int64_t found, int64_t width) {
  if (found == width) return "";
  std::string likely;
  if (found == 1024) likely = ": it was trained for Stable Diffusion 2";
  if (found == 1280 || found == 2048) likely = ": it was trained for SDXL";
  return path + " has vectors " + std::to_string(found) + " wide, but the text encoder of this model takes " +
         std::to_string(width) + likely;
}

TextualInversion read_textual_inversion(const std::string& path, const std::string& name, int64_t width) {
  const TensorSet tensors = TensorSet::of_file(path);
  const auto [stored, own_name] = rows_in(tensors);
  TextualInversion word;
  word.name = !name.empty() ? name : !own_name.empty() ? own_name : fs::path(path).stem().string();
  const int64_t found = stored->shape.back();
  word.problem = problem_of(path, found, width);
  if (!word.problem.empty()) return word;
  const int64_t count = stored->shape.size() == 1 ? 1 : stored->shape.front();
  constexpr int64_t most = 1000;  // a prompt of several chunks; more is no word
  if (count < 1 || count > most)
    throw Error(path + " has " + std::to_string(count) + " vectors, but a word has from 1 to " +
                std::to_string(most));
  const Weight weight = tensors.weight(*stored);
  word.vectors = Tensor(Shape{count, found});
  weight.read(0, count * found, word.vectors.mutable_data());
  return word;
}

}  // namespace

void TextualInversions::add(TextualInversion word) {
  for (const Placed& known : words_) {
    if (in_small_letters(known.word.name) == in_small_letters(word.name)) {
      throw Error("there are two textual inversions for the word " + in_quotes(word.name) +
                  "; give one of them another name: --embedding FILE:name");
    }
  }
  Placed placed{std::move(word), {}};
  if (placed.word.problem.empty()) {
    for (int64_t i = 0; i < placed.word.vectors.shape()[0]; ++i) placed.ids.push_back(next_id_++);
  }
  words_.push_back(std::move(placed));
}

std::vector<std::string> TextualInversions::names() const {
  std::vector<std::string> names;
  for (const Placed& placed : words_) names.push_back(placed.word.name);
  return names;
}

Tensor TextualInversions::rows() const {
  std::vector<Tensor> all;
  for (const Placed& placed : words_) {
    if (!placed.ids.empty()) all.push_back(placed.word.vectors);
  }
  return all.empty() ? Tensor() : concat(all, 0);
}

TextualInversions::Match TextualInversions::first_in(const std::string& text, size_t from) const {
  const std::string small = in_small_letters(text);
  Match best;
  for (const Placed& placed : words_) {
    const std::string name = in_small_letters(placed.word.name);
    size_t at = small.find(name, from);
    while (at != std::string::npos && !stands_alone(small, at, at + name.size()))
      at = small.find(name, at + 1);
    if (at == std::string::npos) continue;
    if (best.word == nullptr || at < best.begin || (at == best.begin && name.size() > best.length))
      best = {&placed, at, name.size()};
  }
  return best;
}

std::vector<PromptPiece> TextualInversions::pieces_of(const std::string& text) const {
  std::vector<PromptPiece> pieces;
  size_t at = 0;
  while (!words_.empty()) {
    const Match match = first_in(text, at);
    if (match.word == nullptr) break;
    if (!match.word->word.problem.empty()) throw Error(match.word->word.problem);
    std::string before = text.substr(at, match.begin - at);
    if (in_small_letters(before).ends_with(comfyui_prefix))
      before.resize(before.size() - comfyui_prefix.size());
    if (!before.empty()) pieces.push_back({before});
    pieces.push_back({match.word->word.name, match.word->ids});
    at = match.begin + match.length;
  }
  if (at < text.size() || pieces.empty()) pieces.push_back({text.substr(at)});
  return pieces;
}

std::vector<TextualInversion> read_textual_inversions(const std::string& path_and_name, int64_t width) {
  std::error_code ignored;
  std::string path = path_and_name, name;
  if (const size_t colon = path.rfind(':'); colon != std::string::npos && !fs::exists(path, ignored)) {
    name = path.substr(colon + 1);
    path.resize(colon);
  }
  if (!fs::is_directory(path, ignored)) {
    TextualInversion word = read_textual_inversion(path, name, width);
    if (!word.problem.empty()) throw Error(word.problem);
    return {std::move(word)};
  }
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, ignored)) {
    const std::string ending = entry.path().extension().string();
    if (ending == ".safetensors" || ending == ".pt" || ending == ".bin")
      files.push_back(entry.path().string());
  }
  if (files.empty())
    throw Error("the folder " + path + " has no textual inversion in it, no .safetensors, .pt or .bin file");
  std::sort(files.begin(), files.end());
  std::vector<TextualInversion> words;
  for (const std::string& file : files) words.push_back(read_textual_inversion(file, "", width));
  return words;
}

}  // namespace cutaway
