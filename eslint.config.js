import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["node_modules/", ".venv/", "docs/", "tests/data/", "gtseg/templates/"] },
  js.configs.recommended,
  {
    files: ["gtseg/local/labeling/portal/static/**/*.js"],
    languageOptions: { globals: globals.browser },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-shadow": "error", "no-unused-vars": ["error", { argsIgnorePattern: "^_" }] },
  },
  { files: ["tests/javascript/**/*.js", "*.config.js"], languageOptions: { globals: globals.node } },
];
