/** What a program says in its log from a moment on: one JSON object a line. */
import { open, stat } from "node:fs/promises";

export interface LogLine {
  readonly msg?: string;
  readonly shard?: number;
  readonly checkpoint?: number;
}

export interface LogTail {
  /** All lines since then, those that are not JSON left out. */
  lines(): Promise<readonly LogLine[]>;
}

export async function tailOf(file: string): Promise<LogTail> {
  let [at, rest] = [(await stat(file)).size, ""];
  const lines: LogLine[] = [];
  return {
    async lines() {
      const handle = await open(file);
      try {
        const size = (await handle.stat()).size;
        const bytes = Buffer.alloc(Math.max(0, size - at));
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, at);
        at += bytesRead;
        rest += bytes.toString("utf8", 0, bytesRead);
      } finally {
        await handle.close();
      }
      const whole = rest.split("\n");
      rest = whole.pop()!;
      for (const text of whole) {
        if (text.startsWith("{")) lines.push(JSON.parse(text) as LogLine);
      }
      return lines;
    },
  };
}
