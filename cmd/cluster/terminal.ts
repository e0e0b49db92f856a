/** The terminal while a cluster runs: a screen of its own, keys one by one; nothing where there is none. */
import type { Size } from "./screen.ts";

export interface Terminal {
  /** Undefined where standard output is no terminal. */
  size(): Size | undefined;
  draw(text: string): void;
  onKey(onKey: (key: string) => void): void;
  /** Gives the terminal back as it was. */
  close(): void;
}

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const REST_OF_LINE = "\u001b[K";
const REST_OF_SCREEN = "\u001b[J";

export function openTerminal(): Terminal {
  const { stdin, stdout } = process;
  let isDrawn = false;
  let isRaw = false;
  const close = (): void => {
    if (isDrawn) stdout.write(LEAVE);
    isDrawn = false;
    if (isRaw) stdin.setRawMode(false);
    isRaw = false;
  };
  process.on("exit", close);
  return {
    size: () => (stdout.isTTY ? { columns: stdout.columns, rows: stdout.rows } : undefined),
    draw(text) {
      if (!isDrawn) stdout.write(ENTER);
      isDrawn = true;
      stdout.write(`${HOME}${text.split("\n").join(`${REST_OF_LINE}\n`)}${REST_OF_LINE}${REST_OF_SCREEN}`);
    },
    onKey(onKey) {
      if (!stdin.isTTY) return;
      stdin.setRawMode(true);
      isRaw = true;
      stdin.setEncoding("utf8");
      stdin.on("data", (keys: string) => [...keys].forEach(onKey));
      stdin.unref();
    },
    close,
  };
}
