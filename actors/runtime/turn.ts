/** Lets waiting I/O have its turn: long work that stays in one process gives way with it. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
