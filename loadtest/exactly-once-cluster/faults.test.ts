import { expect, test } from "vitest";
import { sleep } from "../lib/wait.ts";
import { createRecorder, createTurns } from "./faults.ts";

test("work on one part takes turns, on others it overlaps, and a failure holds nobody up", async () => {
  const inTurn = createTurns<"actor" | "broker">();
  const seen: string[] = [];
  const work = (name: string, ms: number) => async () => {
    seen.push(`${name} begins`);
    await sleep(ms);
    seen.push(`${name} ends`);
  };
  await Promise.all([
    inTurn(["actor"], work("a", 30)),
    expect(inTurn(["actor", "broker"], () => Promise.reject(new Error("did not fire")))).rejects.toThrow(),
    inTurn(["broker"], work("b", 1)),
    inTurn(["actor"], work("c", 1)),
  ]);
  expect(seen.slice(0, 2)).toEqual(["a begins", "a ends"]);
  expect(seen).toContain("b ends");
  expect(seen).toContain("c ends");

  seen.length = 0;
  await Promise.all([inTurn(["actor"], work("a", 20)), inTurn(["broker"], work("b", 1))]);
  expect(seen).toEqual(["a begins", "b begins", "b ends", "a ends"]);
});

test("a fault is recorded with the clicks that came before and during it; one that throws is not", async () => {
  let released = 10;
  const said: string[] = [];
  const recorder = createRecorder(
    () => released,
    (line) => said.push(line),
  );
  await recorder.fire("kill", "SIGKILL actor-0", async () => {
    released = 25;
    return "pid 1 → 2";
  });
  await expect(
    recorder.fire("kill", "SIGKILL actor-1", () => Promise.reject(new Error("still there"))),
  ).rejects.toThrow("still there");
  expect(recorder.faults).toMatchObject([
    { what: "SIGKILL actor-0", afterClicks: 10, duringClicks: 15, proof: "pid 1 → 2" },
  ]);
  expect(said).toHaveLength(1);
});
