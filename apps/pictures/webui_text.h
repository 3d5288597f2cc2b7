// The text chunk "parameters", which AUTOMATIC1111's webui and its relatives write.
// Doc: docs/workflows.md#drawing-again
#pragma once

#include <string>
#include <vector>

#include "tensor/files/png.h"

namespace cutaway::pictures {

/// The same run in our own keywords (record.h), as far as it can be told: prompts, steps, sampler, cfg, seed
/// and size. The model is not named: its name there is no path. Throws Error when the text is not of that
/// form, or the sampler is none of ours.
std::vector<PngText> from_webui_text(const std::string& path, const std::string& text);

}  // namespace cutaway::pictures
