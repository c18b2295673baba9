// @ts-check
// EXIF orientation of an image: the affine map between displayed (upright) and stored pixels. Masks are in stored pixels.

/** [a, b, c, d] of upright = (a x + c y + e, b x + d y + f), by EXIF orientation 1 to 8. */
const MATRICES = [[1, 0, 0, 1], [-1, 0, 0, 1], [-1, 0, 0, -1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0], [0, -1, -1, 0], [0, -1, 1, 0]];

export class Orientation {
  /** @param {number} orientation  EXIF, 1 to 8; anything else counts as 1  @param {number} width  stored  @param {number} height  stored */
  constructor(orientation, width, height) {
    this.orientation = MATRICES[orientation - 1] ? orientation : 1;
    const [a, b, c, d] = MATRICES[this.orientation - 1];
    this.a = a;
    this.b = b;
    this.c = c;
    this.d = d;
    this.stored = { width, height };
    this.width = this.a ? width : height; // upright
    this.height = this.a ? height : width;
    this.e = this.a + this.c < 0 ? this.width : 0;
    this.f = this.b + this.d < 0 ? this.height : 0;
  }

  get turned() {
    return this.orientation !== 1;
  }

  /** Stored -> upright, both in pixels. @returns {[number, number]} */
  toUpright(x, y) {
    return [this.a * x + this.c * y + this.e, this.b * x + this.d * y + this.f];
  }

  /** Upright -> stored. @returns {[number, number]} */
  toStored(u, v) {
    return [this.a * (u - this.e) + this.b * (v - this.f), this.c * (u - this.e) + this.d * (v - this.f)];
  }

  /** A step in upright pixels -> the same step in stored pixels. @returns {[number, number]} */
  stepToStored(du, dv) {
    return [this.a * du + this.b * dv, this.c * du + this.d * dv];
  }

  /** A rectangle of stored pixels -> [u0, v0, u1, v1]. */
  areaToUpright(x0, y0, x1, y1) {
    return sorted(this.toUpright(x0, y0), this.toUpright(x1, y1));
  }

  /** A rectangle of upright pixels -> [x0, y0, x1, y1]. */
  areaToStored(u0, v0, u1, v1) {
    return sorted(this.toStored(u0, v0), this.toStored(u1, v1));
  }

  /** Strides of the stored raster in upright order: the offset of (u, v) is origin + u * across + v * down. */
  get strides() {
    const { width } = this.stored;
    const [x, y] = this.toStored(0.5, 0.5);
    return { origin: Math.floor(y) * width + Math.floor(x), across: this.a + this.c * width, down: this.b + this.d * width };
  }
}

function sorted([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}
