// Mouse, pen and touch on the stage: one finger or the pen draws, two fingers move and zoom, the wheel zooms at the pointer, the middle button or
// Space moves. After pen input, fingers no longer draw, because a resting hand would.

const FACTOR = 1.0018;

export class Pointer {
  constructor(stage, editor) {
    Object.assign(this, { stage, editor, touches: new Map(), mode: null, space: false, penSeen: false });
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) stage.addEventListener(type, (event) => this.up(event));
    stage.addEventListener("pointerleave", () => !this.mode && editor.pointerAt(null));
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  place(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (!this.editor.ready) return;
    this.stage.focus({ preventScroll: true });
    event.preventDefault();
    this.stage.setPointerCapture(event.pointerId);
    const at = this.place(event);
    if (event.pointerType === "pen") this.penSeen = true;
    this.tellTouch(event.pointerType === "touch");
    if (event.pointerType === "touch") {
      this.touches.set(event.pointerId, at);
      if (this.touches.size === 2) return this.startPinch();
      if (this.touches.size > 2) return;
    }
    const pans = event.button === 1 || this.space || this.editor.tool === "pan" || (event.pointerType === "touch" && this.penSeen);
    if (pans) return this.enter("pan", at);
    if (event.button !== 0 && event.button !== 2) return;
    if (this.mode) return;
    this.mode = "draw";
    // It may be the first of two fingers: a click tool waits until it is lifted.
    this.held = event.pointerType === "touch" && this.editor.active.click ? { at } : null;
    if (this.held) return;
    const double = Boolean(this.lastAt) && performance.now() - this.lastDown < 350 && Math.hypot(at[0] - this.lastAt[0], at[1] - this.lastAt[1]) < 6;
    this.lastDown = performance.now();
    this.lastAt = at;
    this.editor.press(this.editor.view.toImage(...at), { erase: event.button === 2, only: event.altKey, straight: event.shiftKey, double });
  }

  /** Use hints for the input device used last. */
  tellTouch(touch) {
    if (this.editor.touch === touch) return;
    this.editor.touch = touch;
    this.editor.refresh();
  }

  enter(mode, at) {
    this.mode = mode;
    this.last = at;
    this.stage.classList.add("moving");
  }

  move(event) {
    if (!this.editor.ready) return;
    const at = this.place(event);
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, at);
    if (this.mode === "pinch") return this.pinch();
    if (this.mode === "pan") {
      this.editor.view.pan(at[0] - this.last[0], at[1] - this.last[1]);
      this.last = at;
    } else if (this.mode === "draw" && !this.held) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.editor.drag(this.editor.view.toImage(...this.place(each)));
    }
    if (event.pointerType !== "touch") this.editor.pointerAt(at, { straight: event.shiftKey });
  }

  up(event) {
    if (!this.editor.ready) return;
    this.touches.delete(event.pointerId);
    if (this.mode === "draw") {
      if (this.held && event.type === "pointerup") this.editor.press(this.editor.view.toImage(...this.held.at), {});
      if (event.type === "pointercancel") this.editor.active.drop();
      else this.editor.lift();
    }
    if (this.mode === "pinch" && this.touches.size) return;
    this.mode = null;
    this.held = null;
    this.stage.classList.remove("moving");
  }

  startPinch() {
    if (this.mode === "draw" && !this.held && !this.editor.active.click) this.editor.active.drop();
    this.held = null;
    this.mode = "pinch";
    [this.spread, this.middle] = this.span();
  }
  span() {
    const [a, b] = [...this.touches.values()];
    return [Math.hypot(a[0] - b[0], a[1] - b[1]), [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]];
  }
  pinch() {
    if (this.touches.size < 2) return;
    const [spread, middle] = this.span();
    const { view } = this.editor;
    view.pan(middle[0] - this.middle[0], middle[1] - this.middle[1]);
    view.zoomAt(...middle, spread / Math.max(1, this.spread));
    [this.spread, this.middle] = [spread, middle];
  }

  wheel(event) {
    if (!this.editor.ready) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 30 : 1;
    if (event.altKey && this.editor.resizeBrush) return this.editor.resizeBrush(1.0015 ** (-event.deltaY * unit));
    if (event.shiftKey) return this.editor.view.pan(-(event.deltaX || event.deltaY) * unit, 0);
    const speed = event.ctrlKey ? 4 : 1;
    this.editor.view.zoomAt(...this.place(event), FACTOR ** (-event.deltaY * unit * speed));
    this.editor.pointerAt(this.place(event));
  }
}
