/**
 * One read for all who ask at once. Whoever asks gets an answer of a read that begins after: what
 * was true when they asked, they see. So those who ask during a read share the one that follows it.
 */
export function sharedRead<T>(read: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<unknown> | undefined;
  let following: Promise<T> | undefined;

  function begin(): Promise<T> {
    following = undefined;
    const answer = read();
    const ended = answer.then(
      () => (underWay = undefined),
      () => (underWay = undefined),
    );
    underWay = ended;
    return answer;
  }
  return () => (underWay === undefined ? begin() : (following ??= underWay.then(begin)));
}
