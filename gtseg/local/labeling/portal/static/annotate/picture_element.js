// Base class of the elements that show an image: display settings of their `view`.

export class PictureElement extends HTMLElement {
  look(settings) {
    Object.assign(this.view, settings);
    this.view.paint();
    this.refresh();
  }
  tone(tone) {
    this.view.setTone(tone);
    this.refresh();
  }
  autoTone(auto) {
    this.view.setAuto(auto);
    this.refresh();
  }
}
