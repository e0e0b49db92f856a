import { appendFile, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { codeOf, expectRecord } from "../../ports/click-log.conformance.ts";
import { sampleBlock } from "../../ports/click-log.sample.ts";
import { expectFilled, fill, findFrame, flipBitAt, segmentFiles, start, waitMs } from "./file-log.fixture.ts";
import { nodeFiles } from "./files.ts";
import { FRAME_HEADER_BYTES, makeMarker } from "./frame.ts";
import { loadSegment } from "./segment.ts";

const ALL = Number.MAX_SAFE_INTEGER;

describe("the idle marker", () => {
  it("G4: comes a second after the last sync, once", async () => {
    const bench = await start();
    await fill(bench, 2);
    bench.clock.advance(600);
    await fill(bench, 1, 1);
    const before = bench.files.syncs;
    bench.clock.advance(600);
    await waitMs(10);
    expect(bench.files.syncs).toBe(before);
    bench.clock.advance(400);
    await waitMs(30);
    expect(bench.files.syncs).toBe(before + 1);
    expect(bench.clock.pending).toBe(0);
    await expectFilled(bench, 2);
  });

  it("G4: without it, damage to the last batch could not be told from a torn write", async () => {
    const bench = await start();
    await fill(bench, 5);
    const image = await bench.crashImage();
    const { path: file, at } = await findFrame(image, "clicks", 0, 4);
    await flipBitAt(file, at + 10);
    await bench.use(image);
    await expectFilled(bench, 4);
  });

  it("a clean close leaves one, so the last batch is guarded across a restart", async () => {
    const bench = await start();
    await fill(bench, 5);
    await bench.log.close();
    const { path: file, at } = await findFrame(bench.dir, "clicks", 0, 4);
    await flipBitAt(file, at + 10);
    expect(await codeOf(bench.use(bench.dir))).toBe("LOG_CORRUPT");
  });
});

describe("damage", () => {
  it("L4: a flip of any byte of any frame is LOG_CORRUPT, and the files stay as they are", async () => {
    const bench = await start();
    await fill(bench, 4);
    await bench.settle();
    const image = await bench.crashImage();
    const first = await findFrame(image, "clicks", 0, 0);
    const last = await findFrame(image, "clicks", 0, 3);
    for (let at = first.at; at < last.at + last.bytes; at += 7) {
      await flipBitAt(first.path, at, at % 8);
      const damaged = await readFile(first.path);
      expect(await codeOf(bench.use(image)), `byte ${at}`).toBe("LOG_CORRUPT");
      expect((await readFile(first.path)).equals(damaged)).toBe(true);
      await flipBitAt(first.path, at, at % 8);
    }
    await bench.use(image);
    await expectFilled(bench, 4);
  });

  it("R2: a frame that a client put into a value is never taken for one of ours", async () => {
    for (const [isForged, outcome] of [
      [true, "resolved"],
      [false, "LOG_CORRUPT"],
    ] as const) {
      const bench = await start();
      await fill(bench, 2);
      const image = await bench.crashImage();
      const file = (await segmentFiles(image))[0]!;
      const { base, salt, size } = await loadSegment(nodeFiles, file);
      const position = base + size + 300;
      const marker = makeMarker({ salt: isForged ? (salt ^ 1) >>> 0 : salt, position, syncedUpTo: position });
      await appendFile(file, Buffer.concat([Buffer.alloc(300, "torn"), marker]));
      expect(await codeOf(bench.use(image))).toBe(outcome);
    }
  });

  it("a segment that is missing, cut short or under another name is LOG_CORRUPT naming the file", async () => {
    const bench = await start({ logSegmentBytes: 480 });
    await fill(bench, 8);
    const harm: ((files: string[]) => Promise<void>)[] = [
      (files) => rm(files[1]!),
      (files) => truncate(files[1]!, 100),
      (files) => flipBitAt(files[1]!, 20),
      (files) => nodeFiles.rename(files[0]!, files[0]!.replace("0.log", "1.log")),
    ];
    for (const damage of harm) {
      const image = await bench.crashImage();
      await damage(await segmentFiles(image));
      await expect(bench.use(image)).rejects.toThrow(/click log .*\.log at byte 0/);
      bench.log = { ...bench.log, close: async () => undefined };
    }
  });

  it("index files are a shortcut: absent, damaged or of another segment, reads are the same", async () => {
    const bench = await start({ logSegmentBytes: 480 });
    await fill(bench, 9);
    const names = (await readdir(bench.dir)).filter((name) => name.endsWith(".index")).sort();
    expect(names.length).toBeGreaterThan(3);
    const image = await bench.crashImage();
    await rm(path.join(image, names[0]!));
    await flipBitAt(path.join(image, names[1]!), 40);
    await writeFile(path.join(image, names[2]!), await readFile(path.join(bench.dir, names[3]!)));
    await writeFile(path.join(image, "0000000099999999.index"), "orphan");
    await writeFile(path.join(image, "0000000099999999.log.new"), "half a segment");
    await bench.use(image);
    await expectFilled(bench, 9);
    const after = await readdir(image);
    expect(after).toContain(names[0]);
    expect(after.filter((name) => name.includes("99999999"))).toEqual([]);
  });

  it("L4: a flip in a sealed segment is LOG_CORRUPT at the read, with or without its index file", async () => {
    for (const withIndex of [true, false]) {
      const bench = await start({ logSegmentBytes: 480 });
      await fill(bench, 9);
      const image = await bench.crashImage();
      const { path: file, at } = await findFrame(image, "clicks", 0, 2);
      await flipBitAt(file, at + FRAME_HEADER_BYTES + 5);
      if (!withIndex) await rm(file.replace(".log", ".index"));
      await bench.use(image);
      const log = bench.log.topic("clicks");
      await expect(log.read(0, 2, ALL)).rejects.toThrow(/clicks partition 0, offset 2/);
      expectRecord((await log.read(0, 4, 1))[0], 4, sampleBlock(5));
    }
  });
});
