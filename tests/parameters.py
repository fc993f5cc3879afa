"""Values of the kinds of parameters that have neither words nor a range."""

from imgserve.transform.kinds import BORDER, BOUND, COLOR, COLORS, FOUR, PIXELS, TRIM, AnyKind

SAMPLES: dict[AnyKind, list[str]] = {
    COLOR: ["red", "white", "8f80", "0000"],
    COLORS: ["f00,8f80", "red,white"],
    FOUR: ["0", "7", "10,20", "1,2,3", "0,9000,5,40"],
    PIXELS: ["0", "12", "9000"],
    BORDER: ["0,red", "3,white", "9000,8f80"],
    BOUND: ["1", "300", "9000"],
    TRIM: ["auto", "color", "alpha", "white", "8f80"],
}
