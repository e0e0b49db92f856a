/** A program that never gets ready, or, where it is told to, ends at its start. */
if (process.argv[2] === "fail") {
  console.error("no key was given");
  process.exitCode = 1;
} else {
  setInterval(() => undefined, 1_000);
}
