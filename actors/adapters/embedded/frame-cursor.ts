/**
 * Walks the frames of one segment file, for readers and for recovery.
 *
 *  C1 Between two awaits all is synchronous: `look` answers from the window in memory, and only
 *     "more" asks the caller to await `fill`.
 *  C2 Frames that are of no interest cost their header alone, however long their values are.
 *  C3 A value is handed out in memory of its own: the window is used again.
 */
import { FRAME_HEADER_BYTES, frameValueBytes, isFrameHeader, isFrameValue } from "./frame.ts";
import type { OpenFile } from "./files.ts";

const WINDOW_BYTES = 128 * 1024;

export type Look = "frame" | "end" | "more" | "bad";

export class FrameCursor {
  /** File offset of the frame that `look` looks at. */
  at: number;
  readonly #file: OpenFile;
  readonly #base: number;
  readonly #salt: number;
  readonly #end: number;
  #window: Buffer;
  #windowAt = 0;
  #windowBytes = 0;

  constructor(
    file: OpenFile,
    segment: { readonly base: number; readonly salt: number },
    at: number,
    end: number,
  ) {
    this.at = at;
    this.#file = file;
    this.#base = segment.base;
    this.#salt = segment.salt;
    this.#end = end;
    this.#window = Buffer.allocUnsafe(Math.min(WINDOW_BYTES, Math.max(end - at, 0)));
  }

  look(): Look {
    if (this.at === this.#end) return "end";
    const headerEnd = this.at + FRAME_HEADER_BYTES;
    if (headerEnd > this.#end) return "bad";
    if (this.at < this.#windowAt || headerEnd > this.#windowAt + this.#windowBytes) return "more";
    if (!isFrameHeader(this.#window, this.headerAt, this.#salt, this.#base + this.at)) return "bad";
    return this.frameEnd > this.#end ? "bad" : "frame";
  }

  /** Brings the bytes from `at` on into the window. */
  async fill(): Promise<void> {
    const bytes = Math.min(this.#window.length, this.#end - this.at);
    const got = await this.#file.read(this.#window.subarray(0, bytes), this.at);
    // A file that is shorter than it was: zeros read as a damaged frame.
    if (got < bytes) this.#window.fill(0, got, bytes);
    this.#windowAt = this.at;
    this.#windowBytes = bytes;
  }

  /** The buffer and the place in it of the current header, valid until the next `fill`. */
  get buffer(): Buffer {
    return this.#window;
  }

  get headerAt(): number {
    return this.at - this.#windowAt;
  }

  get frameEnd(): number {
    return this.at + FRAME_HEADER_BYTES + frameValueBytes(this.#window, this.headerAt);
  }

  skip(): void {
    this.at = this.frameEnd;
  }

  /** Whether the current frame's value is in the window already. */
  get holdsValue(): boolean {
    return this.frameEnd <= this.#windowAt + this.#windowBytes;
  }

  /** The value, when `holdsValue`; undefined where its checksum does not hold. */
  takeValue(): Buffer | undefined {
    const valueAt = this.headerAt + FRAME_HEADER_BYTES;
    return this.#checked(Buffer.from(this.#window.subarray(valueAt, this.frameEnd - this.#windowAt)));
  }

  /** Like `takeValue`, for a value that is not wholly in the window. */
  async readValue(): Promise<Buffer | undefined> {
    const value = Buffer.allocUnsafe(frameValueBytes(this.#window, this.headerAt));
    const held = this.#window.copy(value, 0, this.headerAt + FRAME_HEADER_BYTES, this.#windowBytes);
    const got = await this.#file.read(value.subarray(held), this.at + FRAME_HEADER_BYTES + held);
    return held + got === value.length ? this.#checked(value) : undefined;
  }

  /** Whether the value's checksum holds, without a copy where the window has it. */
  async isValueIntact(): Promise<boolean> {
    if (!this.holdsValue) return (await this.readValue()) !== undefined;
    const valueAt = this.headerAt + FRAME_HEADER_BYTES;
    const value = this.#window.subarray(valueAt, this.frameEnd - this.#windowAt);
    return isFrameValue(this.#window, this.headerAt, this.#salt, value);
  }

  #checked(value: Buffer): Buffer | undefined {
    return isFrameValue(this.#window, this.headerAt, this.#salt, value) ? value : undefined;
  }
}
