// What --backend shadow has seen, as a table.
#pragma once

namespace cutaway {

/// Prints the operations by name, each with the layer where it was furthest off, to the error stream, beside
/// whatever a command prints; nothing when no operation ran in shadow mode.
void print_shadow_report();

}  // namespace cutaway
