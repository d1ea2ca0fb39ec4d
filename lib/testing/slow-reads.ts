import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseAdapter, Row } from '../contracts/database-adapter.js'

/**
 * The adapter with reads whose answers are `milliseconds` old when they arrive, while writes stay fast:
 * code that reads, decides and then writes shows its races.
 */
export function withSlowReads (adapter: DatabaseAdapter, milliseconds: number): DatabaseAdapter {
  const late = async <T>(answer: T | Promise<T>): Promise<T> => {
    const value = await answer
    await sleep(milliseconds)
    return value
  }
  const slow: DatabaseAdapter = {
    define: (model) => adapter.define(model),
    open: () => adapter.open(),
    create: (model, row) => adapter.create(model, row),
    findOne: (model, where): Promise<Row | null> => late(adapter.findOne(model, where)),
    findMany: (model, where, options) => late(adapter.findMany(model, where, options)),
    update: (model, where, changes) => adapter.update(model, where, changes),
    delete: (model, where) => adapter.delete(model, where)
  }
  const { createWith, findWithUser, close } = adapter
  if (createWith !== undefined) slow.createWith = createWith.bind(adapter)
  if (findWithUser !== undefined) slow.findWithUser = (model, where) => late(findWithUser.call(adapter, model, where))
  if (close !== undefined) slow.close = () => close.call(adapter)
  return slow
}
