#include "apps/pictures/sheet.h"

#include <algorithm>

namespace cutaway::pictures {

void write_sheet(const std::string& path, const std::vector<Tensor>& batches, int64_t most_columns,
                 const std::vector<PngText>& texts) {
  constexpr int64_t gap = 2;
  const Shape& size = batches.front().shape();
  const int64_t batch = size[0], height = size[2], width = size[3];
  const int64_t count = batch * static_cast<int64_t>(batches.size());
  const int64_t columns = std::min(most_columns, count), rows = (count + columns - 1) / columns;
  const int64_t sheet_width = columns * (width + gap) - gap, sheet_height = rows * (height + gap) - gap;
  std::vector<unsigned char> sheet(static_cast<size_t>(sheet_width * sheet_height * 3), 255);
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<unsigned char> picture = to_rgb8(batches[static_cast<size_t>(i / batch)], i % batch);
    for (int64_t y = 0; y < height; ++y) {
      const int64_t to = ((i / columns * (height + gap) + y) * sheet_width + i % columns * (width + gap)) * 3;
      std::copy_n(picture.begin() + y * width * 3, width * 3, sheet.begin() + to);
    }
  }
  write_png(path, sheet_width, sheet_height, 3, sheet, texts);
}

}  // namespace cutaway::pictures
