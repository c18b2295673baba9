// @ts-check
// Active time of a page: the tab is visible, and there was input within the last minute.

const IDLE_MS = 60_000;
const INPUTS = ["pointermove", "pointerdown", "keydown", "wheel", "touchstart", "input"];

export class Activity {
  /** `visible`() and `now`() (monotonic milliseconds) are arguments for tests. */
  constructor({ visible = () => document.visibilityState === "visible", now = () => performance.now() } = {}) {
    this.visible = visible;
    this.now = now;
    this.total = 0;
    this.input = this.mark = now();
    this.wasVisible = visible();
  }

  listen() {
    for (const kind of INPUTS) window.addEventListener(kind, () => this.touch(), { capture: true, passive: true });
    document.addEventListener("visibilitychange", () => this.advance());
    return this;
  }

  /** Record input, or the start of a task. */
  touch() {
    this.advance();
    this.input = this.now();
  }

  /** Add the active time since the last call. */
  advance() {
    const now = this.now();
    if (this.wasVisible) this.total += Math.max(0, Math.min(now, this.input + IDLE_MS) - this.mark);
    this.mark = now;
    this.wasVisible = this.visible();
  }

  /** Active seconds since the last call. `giveBack`(seconds) if they could not be sent. */
  take() {
    this.advance();
    const seconds = this.total / 1000;
    this.total = 0;
    return Math.round(seconds * 1000) / 1000;
  }
  giveBack(seconds) {
    this.total += seconds * 1000;
  }
}
