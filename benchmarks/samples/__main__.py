"""`python -m benchmarks.samples FOLDER`: draws the sample pictures."""

import argparse
from pathlib import Path

from benchmarks.samples.draw import draw_samples


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samples", description="Draw the sample pictures.")
    parser.add_argument("folder", type=Path, help="for example static/samples")
    parser.add_argument("--scale", type=float, help="1 for the sizes of a camera; default: the committed sizes")
    options = parser.parse_args()
    for path in draw_samples(options.folder, scale=options.scale):
        print(path)


if __name__ == "__main__":
    main()
