import type { Test } from 'tap'

/** Stands in for a test of tap: helpers of tests register here what must be undone. */
export interface ScriptTest {
  readonly t: Test
  /** Undoes everything, the newest first. */
  end(): Promise<void>
}

/** Returns an object for helpers of tests that only call `teardown`, in scripts without a test. */
export function scriptTest (): ScriptTest {
  const undone: (() => unknown)[] = []
  const t = {
    teardown (undo: () => unknown) {
      undone.push(undo)
    }
  }
  return {
    t: t as unknown as Test, // the helpers use nothing else
    async end () {
      for (const undo of undone.splice(0).reverse()) await undo()
    }
  }
}
