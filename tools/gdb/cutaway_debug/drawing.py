"""Planes of numbers as text, as a heat map in the terminal and as a picture."""
import math

from .numbers import number_text

SHADES = " .:-=+*#%@"
# xterm's colours from -1 (blue) over 0 (black) to 1 (red, then yellow)
COLOURS = (51, 45, 39, 33, 27, 21, 19, 17, 16, 52, 88, 124, 160, 196, 202, 208, 214)
MOST_COLUMNS, MOST_ROWS = 64, 32
CORNER = 8


def table(plane, height, width):
    """The upper left corner as numbers."""
    rows, columns = min(height, CORNER), min(width, CORNER)
    lines = []
    for y in range(rows):
        cells = [f"{number_text(plane[y * width + x]):>10}" for x in range(columns)]
        lines.append("".join(cells) + ("  ..." if width > columns else ""))
    if height > rows:
        lines.append("       ...")
    return lines


def shrunk(plane, height, width, most_rows=MOST_ROWS, most_columns=MOST_COLUMNS):
    """Means over boxes, so that the plane fits a screen; a NaN colours its whole box."""
    rows, columns = min(height, most_rows), min(width, most_columns)
    if (rows, columns) == (height, width):
        return list(plane), rows, columns
    small = []
    for r in range(rows):
        top, bottom = r * height // rows, (r + 1) * height // rows
        for c in range(columns):
            left, right = c * width // columns, (c + 1) * width // columns
            total = sum(sum(plane[y * width + left:y * width + right]) for y in range(top, bottom))
            small.append(total / ((bottom - top) * (right - left)))
    return small, rows, columns


def heat_map(plane, height, width, colour):
    """Lines of text and the scale below: two characters a number where there is room, so that it is a square."""
    cells, rows, columns = shrunk(plane, height, width)
    finite = [x for x in cells if math.isfinite(x)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    largest = max(abs(low), abs(high)) or 1.0

    def coloured(x):
        if not math.isfinite(x):
            return "\033[97;45m??\033[0m"
        return f"\033[48;5;{COLOURS[round((x / largest + 1) / 2 * (len(COLOURS) - 1))]}m  "

    def shaded(x):
        if not math.isfinite(x):
            return "?"
        return SHADES[min(int((x - low) / ((high - low) or 1) * len(SHADES)), len(SHADES) - 1)]

    lines = []
    characters = 2 if columns <= MOST_COLUMNS // 2 else 1
    for r in range(rows):
        row = cells[r * columns:(r + 1) * columns]
        lines.append("".join(map(coloured, row)) + "\033[0m" if colour else
                     "|" + "".join(shaded(x) * characters for x in row) + "|")
    if colour:
        scale = "".join(f"\033[48;5;{code}m  " for code in COLOURS) + "\033[0m"
        lines.append(f"{number_text(-largest)} {scale} {number_text(largest)}   ?? is NaN or infinite")
    else:
        lines.append(f"\"{SHADES}\" from {number_text(low)} to {number_text(high)}   ? is NaN or infinite")
    if (rows, columns) != (height, width):
        lines.append(f"each cell is the mean of about {height / rows:.3g} x {width / columns:.3g} numbers")
    return lines


def grey(values, low, high):
    """Bytes 0 (low) to 255 (high); what is not finite becomes 0."""
    scale = 255 / ((high - low) or 1)
    return bytes(max(0, min(255, round((x - low) * scale))) if math.isfinite(x) else 0 for x in values)


def colour_picture(values, height, width):
    """Planes of red, green and blue from -1 to 1, as the VAE gives them: rgb rgb ..., as the program writes it."""
    planes = [grey(values[c * height * width:(c + 1) * height * width], -1, 1) for c in range(3)]
    return bytes(byte for pixel in zip(*planes) for byte in pixel)


def contact_sheet(values, count, height, width, low, high):
    """`count` grey planes in rows beside each other, a pixel apart. Returns (bytes, height, width)."""
    columns = max(1, min(count, math.ceil(math.sqrt(count * height / width))))
    rows = -(-count // columns)
    sheet_height, sheet_width = rows * (height + 1) - 1, columns * (width + 1) - 1
    sheet = bytearray(b"\xff" * (sheet_height * sheet_width))
    pixels = grey(values, low, high)
    for i in range(count):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        for y in range(height):
            at = (top + y) * sheet_width + left
            begin = (i * height + y) * width
            sheet[at:at + width] = pixels[begin:begin + width]
    return bytes(sheet), sheet_height, sheet_width
