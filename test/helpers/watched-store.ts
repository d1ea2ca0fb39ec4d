import { EventEmitter, once } from 'node:events'
import type { DatabaseAdapter, MaybePromise } from '../../lib/index.js'

/** A store whose reads of guarded requests are counted and can be held back. */
export interface WatchedStore {
  readonly adapter: DatabaseAdapter
  /** Number of reads of a user by id, and of a session with its user, since the last call. */
  takeReads(): number
  /** Lets the next read take place, and holds its result back until `release`. `begun` resolves when it has one. */
  holdNext(): { begun: Promise<unknown>; release: () => void }
  /** Holds the next change of rows back until `release`, before it takes place. `begun` resolves when it is called. */
  holdNextWrite(): { begun: Promise<unknown>; release: () => void }
}

interface Gate {
  readonly open: Promise<unknown>
  onCall(): void
}

function makeGate (): { gate: Gate; begun: Promise<unknown>; release: () => void } {
  const events = new EventEmitter()
  const begun = once(events, 'begun')
  return {
    gate: {
      open: once(events, 'open'),
      onCall: () => {
        events.emit('begun')
      }
    },
    begun,
    release: () => {
      events.emit('open')
    }
  }
}

/** Returns a store that passes all calls on to the adapter. */
export function watchStore (adapter: DatabaseAdapter): WatchedStore {
  let reads = 0
  let gate: Gate | null = null
  let writeGate: Gate | null = null

  function read<T> (result: MaybePromise<T>): MaybePromise<T> {
    reads++
    if (gate === null) return result
    const { open, onCall } = gate
    gate = null
    return Promise.resolve(result).then(async (found) => {
      onCall()
      await open
      return found
    })
  }

  async function write (change: () => Promise<number>): Promise<number> {
    const held = writeGate
    writeGate = null
    held?.onCall()
    await held?.open
    return await change()
  }

  const { createAll, findWithUser } = adapter
  return {
    adapter: {
      define: (model) => {
        adapter.define(model)
      },
      open: () => adapter.open(),
      create: (model, row) => adapter.create(model, row),
      ...(createAll === undefined ? {} : { createAll: (rows) => createAll.call(adapter, rows) }),
      findOne: (model, where) => {
        const found = adapter.findOne(model, where)
        return model.name === 'user' && 'id' in where ? read(found) : found
      },
      ...(findWithUser === undefined
        ? {}
        : { findWithUser: (model, where) => read(findWithUser.call(adapter, model, where)) }),
      findMany: (model, where, options) => adapter.findMany(model, where, options),
      update: (model, where, changes) => write(() => adapter.update(model, where, changes)),
      delete: (model, where) => write(() => adapter.delete(model, where)),
      close: async () => {
        await adapter.close?.()
      }
    },
    takeReads () {
      const taken = reads
      reads = 0
      return taken
    },
    holdNext () {
      const { gate: made, ...held } = makeGate()
      gate = made
      return held
    },
    holdNextWrite () {
      const { gate: made, ...held } = makeGate()
      writeGate = made
      return held
    }
  }
}
