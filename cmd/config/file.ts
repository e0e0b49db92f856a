/** A configuration file: YAML, of which JSON is a part; one flat map, each key with its place. */
import { isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { messageOf } from "../../actors/core/errors.ts";

export interface FileEntry {
  readonly value: unknown;
  /** `/etc/adtally.yaml:3` */
  readonly place: string;
}

export interface ReadFile {
  readonly entries: ReadonlyMap<string, FileEntry>;
  readonly faults: readonly string[];
}

export function readConfigFile(path: string, read: (path: string) => string): ReadFile {
  const refused = (...faults: string[]): ReadFile => ({ entries: new Map(), faults });
  let text: string;
  try {
    text = read(path);
  } catch (error) {
    return refused(`${path}: cannot be read: ${messageOf(error)}`);
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const placeAt = (offset: number) => `${path}:${lineCounter.linePos(offset).line}`;
  if (document.errors.length > 0) {
    return refused(...document.errors.map(({ pos, message }) => `${placeAt(pos[0])}: ${message}`));
  }
  if (document.contents === null) return refused();
  if (!isMap(document.contents)) return refused(`${path}: must be a map of settings: "http_port: 8080"`);
  const entries = new Map<string, FileEntry>();
  for (const { key, value } of document.contents.items) {
    const place = isScalar(key) && key.range ? placeAt(key.range[0]) : path;
    const plain: unknown = isNode(value) ? value.toJS(document) : value;
    entries.set(String(isScalar(key) ? key.value : key), { value: plain, place });
  }
  return { entries, faults: [] };
}

function isNode(value: unknown): value is { toJS(document: unknown): unknown } {
  return typeof value === "object" && value !== null && "toJS" in value;
}
