// @ts-check
// A worker's settings for a job (tool, label, brush, display), stored in this browser.

export class StoredSettings {
  /** @param {string} key  worker and job */
  constructor(key) {
    this.key = `settings\n${key}`;
    this.last = "";
  }

  /** @returns {any} the stored settings; {} if there are none or they are unreadable */
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
      // storage is full or disabled: settings are kept until the page is closed
    }
  }
}
