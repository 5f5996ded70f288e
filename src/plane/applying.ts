import type { Applied, StateMachine } from "../consensus/driver/state-machine.ts";
import type { Result } from "../control/apply.ts";
import { decodeCommand } from "../control/codec.ts";
import type { ControlMachine } from "../control/machine.ts";
import { InputError } from "../kernel/assert.ts";

/** The control state as the Raft driver knows a state machine. */
export class Applying implements StateMachine<Result> {
  readonly #machine: ControlMachine;
  readonly #onChange: () => void;
  /** A later version's commands or states came: this node applies no more, and its data goes on. */
  isTooOld = false;

  constructor(machine: ControlMachine, onChange: () => void) {
    this.#machine = machine;
    this.#onChange = onChange;
  }

  apply({ index, data, change }: Applied): Result {
    if (data.length === 0 || change !== null) return { ok: true, version: this.#machine.state?.version ?? 0 };
    return this.#noting(() => this.#machine.apply({ index, bytes: data }));
  }

  check(data: Uint8Array): void {
    decodeCommand(data);
  }

  snapshot(): Uint8Array {
    return this.#machine.snapshot();
  }

  restore(data: Uint8Array): void {
    this.#noting(() => this.#machine.restore(data));
  }

  #noting<T>(change: () => T): T {
    try {
      return change();
    } catch (error) {
      if (error instanceof InputError) this.isTooOld = true;
      throw error;
    } finally {
      this.#onChange();
    }
  }
}
