#include "tensor/files/npy.h"

#include <bit>

#include "tensor/error.h"
#include "tensor/files/file_writer.h"

namespace cutaway {

static_assert(std::endian::native == std::endian::little,
              "the header says that the numbers are little-endian");

void write_npy(const std::string& path, const Tensor& tensor) {
  if (tensor.empty()) throw Error("cannot write " + path + ": the tensor holds no numbers");
  std::string shape;  // a Python tuple: "(1, 4, 8, 8)", and "(5,)" for one axis
  for (int axis = 0; axis < tensor.shape().rank(); ++axis) {
    shape += (axis == 0 ? "" : ", ") + std::to_string(tensor.shape()[axis]);
  }
  if (tensor.shape().rank() == 1) shape += ",";
  std::string description = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }";

  constexpr size_t before = 10;  // magic, version and length
  const size_t unpadded = before + description.size() + 1;
  description.append((64 - unpadded % 64) % 64, ' ');  // so that the numbers start at a multiple of 64
  description += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(description.size() & 0xFF);
  header += static_cast<char>(description.size() >> 8);

  FileWriter file(path);
  file.write(header + description);
  file.write(std::as_bytes(tensor.values()));
  file.commit();
}

}  // namespace cutaway
