/** The rows of the commit that is under way. A store shows them a little before it says that they are durable, and the
 *  vectors that belong to them are published only then: a reader in between would get a session token that does not
 *  cover what it was shown. */
export class Publishing {
  #current: { readonly rows: ReadonlySet<string>; readonly done: Promise<void>; readonly end: () => void } | null =
    null;

  begin(rows: Iterable<string>): void {
    let end: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#current = { rows: new Set(rows), done, end };
  }

  /** After the vectors were published, or when the commit failed. */
  end(): void {
    this.#current?.end();
    this.#current = null;
  }

  /** Resolves when no commit is under way that changes this row. */
  async settled(row: string): Promise<void> {
    if (this.#current?.rows.has(row)) await this.#current.done;
  }
}
