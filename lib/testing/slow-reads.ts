import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseAdapter, Row } from '../contracts/database-adapter.js'

/**
 * Returns an adapter that delays the results of reads, but not of writes. Use it in tests to find race conditions in
 * code that reads a row and then writes it.
 */
export function withSlowReads (adapter: DatabaseAdapter, milliseconds: number): DatabaseAdapter {
  const delay = async <T>(result: T | Promise<T>): Promise<T> => {
    const value = await result
    await sleep(milliseconds)
    return value
  }
  const slow: DatabaseAdapter = {
    define: (model) => adapter.define(model),
    open: () => adapter.open(),
    create: (model, row) => adapter.create(model, row),
    findOne: (model, where): Promise<Row | null> => delay(adapter.findOne(model, where)),
    findMany: (model, where, options) => delay(adapter.findMany(model, where, options)),
    update: (model, where, changes) => adapter.update(model, where, changes),
    delete: (model, where) => adapter.delete(model, where)
  }
  const { createAll, findWithUser, close } = adapter
  if (createAll !== undefined) slow.createAll = createAll.bind(adapter)
  if (findWithUser !== undefined) slow.findWithUser = (model, where) => delay(findWithUser.call(adapter, model, where))
  if (close !== undefined) slow.close = () => close.call(adapter)
  return slow
}
