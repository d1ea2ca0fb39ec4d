import type { MongoDocument } from './driver.js'
import { allOf } from './filter.js'
import { absentValueOf, type StoredField } from './layout.js'
import type { Operations } from './operations.js'
import type { DocumentChanges } from './stored-values.js'

type Steps = ReadonlyMap<StoredField, number>

/** A condition on a field that is incremented, and the update for documents that fulfil it. */
interface Case {
  readonly condition: MongoDocument
  readonly set?: MongoDocument
  readonly inc?: MongoDocument
}

/** Maximum number of attempts to increment a document that other processes change at the same time. */
const ATTEMPTS = 5

/** Returns the update for values to set and to remove. */
export function updateOf ({ set, unset }: DocumentChanges): MongoDocument {
  return {
    ...(Object.keys(set).length === 0 ? {} : { $set: set }),
    ...(unset.length === 0 ? {} : { $unset: Object.fromEntries(unset.map((name) => [name, ''])) })
  }
}

/**
 * Returns a pipeline that sets values and increments others. An increment of null stays null, where `$inc` would fail.
 */
export function pipelineOf ({ set }: DocumentChanges, steps: Steps): MongoDocument[] {
  const values = Object.entries(set).map(([name, value]) => [name, { $literal: value }] as const)
  const sums = [...steps].map(([{ name, definition }, step]) => {
    const absent = absentValueOf(definition) ?? null
    return [name, { $add: [absent === null ? `$${name}` : { $ifNull: [`$${name}`, absent] }, step] }] as const
  })
  return [{ $set: Object.fromEntries<unknown>([...values, ...sums]) }]
}

/**
 * Changes and increments documents on a server without pipelines. Documents with a number, with null and without the
 * field need different updates, each of which is atomic. Returns the number of matching documents.
 */
export async function increment (
  operations: Operations,
  filter: MongoDocument,
  { changes, steps, single }: { changes: DocumentChanges; steps: Steps; single: boolean }
): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    let count = 0
    for (const cases of combinationsOf(steps)) {
      const set = Object.assign({}, changes.set, ...cases.map((one) => one.set)) as MongoDocument
      const update = { ...updateOf({ ...changes, set }), ...incrementsOf(cases) }
      const target = allOf([filter, ...cases.map(({ condition }) => condition)])
      count += Object.keys(update).length === 0
        ? (await operations.find(target, { projection: { _id: 1 } })).length
        : await operations.update(target, update, { single })
      if (single && count > 0) return count
    }
    if (count > 0 || attempt === ATTEMPTS) return count
    // another process may have changed the document from one case to another between the updates
    const [left] = await operations.find(filter, { projection: { _id: 1 }, limit: 1 })
    if (left === undefined) return 0
  }
}

function incrementsOf (cases: readonly Case[]): MongoDocument {
  const sums = Object.assign({}, ...cases.map(({ inc }) => inc)) as MongoDocument
  return Object.keys(sums).length === 0 ? {} : { $inc: sums }
}

/** Returns each combination of the cases of all fields. Documents with numbers come first. */
function combinationsOf (steps: Steps): Case[][] {
  let combinations: Case[][] = [[]]
  for (const [field, step] of steps) {
    const cases = casesOf(field, step)
    combinations = combinations.flatMap((before) => cases.map((one) => [...before, one]))
  }
  return combinations
}

function casesOf ({ name, definition }: StoredField, step: number): Case[] {
  const absent = absentValueOf(definition) ?? null
  const number = { condition: { [name]: { $ne: null } }, inc: { [name]: step } }
  if (typeof absent !== 'number') return [number, { condition: { [name]: { $eq: null } } }]
  return [
    number,
    { condition: { [name]: { $eq: null, $exists: true } } },
    { condition: { [name]: { $exists: false } }, set: { [name]: absent + step } }
  ]
}
