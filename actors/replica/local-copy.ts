/**
 * A small document of this process's own folder, which outlives it: what it knew of a log or of a
 * published document, to go on with while neither can be asked.
 *
 *  Y1 A copy that is damaged is found when it is opened, set aside by name, and is none.
 *  Y2 Saves are whole, and in the order of their calls: the last one called is the one that stays.
 */
export interface LocalCopy {
  /** JSON, as last saved before this process began; undefined where there is none. */
  readonly text: string | undefined;
  /** Resolves when it is on disk. Rejects where the disk does not take it. */
  save(text: string): Promise<void>;
  /** Keeps the file under another name, and says so, and why. */
  setAside(why: string): Promise<void>;
}
