// The config.json of a network; the first letter says of which one.
#include "models/checkpoints/config.h"

#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/files/json.h"
#include "tests/fuzz/fuzz.h"

using namespace cutaway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string path = "input";
  try {
    const nlohmann::json values = parse_json(path, fuzz::text_of(data + 1, size - 1));
    switch (data[0] % 4) {
      case 0:
        (void)unet_config(values, path);
        break;
      case 1:
        (void)vae_config(values, path);
        break;
      case 2:
        (void)clip_text_config(values, path);
        break;
      default:
        (void)scheduler_config(values, path);
    }
  } catch (const Error& error) {
    fuzz::check_refusal(error.what(), path);
  }
  return 0;
}
