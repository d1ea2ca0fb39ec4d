import { serverCodeOf, type Operations } from './operations.js'

/** Counters for integer ids, which SQL databases generate themselves. */
export interface IdCounters {
  /** Returns the next id. */
  next(name: string): Promise<number>
  /** Sets the last used id if the stored one is lower. */
  raise(name: string, last: unknown): Promise<void>
}

const DUPLICATE_KEY = 11000

/** Creates counters that are stored in a collection: one document per name, with the id that was used last. */
export function idCounters (operations: Operations): IdCounters {
  const change = async (name: string, update: Record<string, unknown>): Promise<object | null> => {
    const count = (): Promise<object | null> => operations.upsert({ _id: { $eq: name } }, update)
    return await count().catch((error: unknown) => {
      if (serverCodeOf(error) === DUPLICATE_KEY) return count() // another process has just created the document
      throw error
    })
  }
  return {
    async next (name) {
      // the document after the update
      const counter = (await change(name, { $inc: { last: 1 } })) as { last: number }
      return counter.last
    },
    async raise (name, last) {
      await change(name, { $max: { last } })
    }
  }
}
