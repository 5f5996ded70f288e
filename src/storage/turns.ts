/** Runs jobs one after another in the order of the calls, whether or not an earlier one failed. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#last.then(job);
    // A failure belongs to who asked for that job; the next one only waits.
    this.#last = result.catch(() => undefined);
    return result;
  }
}
