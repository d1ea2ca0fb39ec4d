import { codeOf, type Operations } from './operations.js'

/** Ids that are counted up, for kinds of ids that databases make elsewhere. */
export interface IdCounters {
  next(name: string): Promise<number>
  /** Goes on after this id, if it is not there yet. */
  raise(name: string, last: unknown): Promise<void>
}

const DUPLICATE_KEY = 11000

/** Counters in a collection: one document for each name, with the id that was given last. */
export function idCounters (operations: Operations): IdCounters {
  const change = async (name: string, update: Record<string, unknown>): Promise<object | null> => {
    const count = (): Promise<object | null> => operations.upsert({ _id: { $eq: name } }, update)
    return await count().catch((error: unknown) => {
      if (codeOf(error) === DUPLICATE_KEY) return count() // another process has just made it
      throw error
    })
  }
  return {
    async next (name) {
      // the document as it is afterwards
      const counter = (await change(name, { $inc: { last: 1 } })) as { last: number }
      return counter.last
    },
    async raise (name, last) {
      await change(name, { $max: { last } })
    }
  }
}
