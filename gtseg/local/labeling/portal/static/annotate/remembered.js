// @ts-check
// How a person likes to work on one job: tool, label, brush, how labels and pictures look. Kept in this browser, for the next image and the next day.

export class Remembered {
  /** @param {string} key  of person and job */
  constructor(key) {
    this.key = `settings\n${key}`;
    this.last = "";
  }

  /** @returns {any} what was kept; {} for nothing, or for what cannot be read */
  load() {
    try {
      this.last = localStorage.getItem(this.key) ?? "";
      const found = JSON.parse(this.last || "{}");
      return found && typeof found === "object" ? found : {};
    } catch {
      return {};
    }
  }

  /** @param {any} settings */
  save(settings) {
    const text = JSON.stringify(settings);
    if (text === this.last) return;
    this.last = text;
    try {
      localStorage.setItem(this.key, text);
    } catch {
      // a full or forbidden store: the settings last as long as the page
    }
  }
}
