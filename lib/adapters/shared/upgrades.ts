import type { Field, Model, UpgradeStep } from '../../contracts/models.js'
import { FST_USERS_TABLE_MISMATCH, type UsersError } from '../../errors.js'
import { invalidArgument } from './errors.js'

/** The version of a model without `version`, and of stored rows without a recorded version. */
export const FIRST_VERSION = 1

/** An upgrade step that stored rows need. */
export interface PendingStep {
  /** The version to which the step belongs. */
  readonly version: number
  /** Position of the step among those of its version. */
  readonly position: number
  readonly isLastOfVersion: boolean
  readonly change: UpgradeStep
  /** The model with the fields that exist before the step, and without indexes. */
  readonly before: Model
  /** The fields of `before` that this step or a later one drops. */
  readonly dropped: readonly string[]
}

/** The upgrade that the stored rows of a model have reached. */
export interface Progress {
  readonly version: number
  /** Number of steps of the next version that are done. */
  readonly done: number
}

export function versionOf ({ version = FIRST_VERSION }: Model): number {
  return version
}

/** Returns the steps between the stored and the current version of a model, in order. */
export function pendingSteps (model: Model, { version, done }: Progress): PendingStep[] {
  let { fields } = model
  let dropped: string[] = []
  const pending: PendingStep[] = []
  for (let number = versionOf(model); number > version; number--) {
    const steps = model.upgrades?.[number] ?? []
    for (const [position, change] of [...steps.entries()].toReversed()) {
      fields = fieldsBefore(fields, change)
      if ('drop' in change) dropped = [...dropped, change.drop]
      if ('rename' in change) dropped = dropped.map((name) => (name === change.to ? change.rename : name))
      if (number === version + 1 && position < done) continue
      const before = { ...model, fields, unique: [], index: [] }
      const isLastOfVersion = position === steps.length - 1
      pending.unshift({ version: number, position, isLastOfVersion, change, before, dropped })
    }
  }
  return pending
}

/** Returns a description of a step, with the names under which the fields are stored. */
export function describeStep ({ version, change }: PendingStep, nameOf: (field: string) => string): string {
  return `version ${version}: ${describeChange(change, (field) => JSON.stringify(nameOf(field)))}`
}

/** Returns the error of a start with rows of another version than that of the model; null if the version is right. */
export function versionMismatch (model: Model, place: string, progress: Progress): UsersError | null {
  const { version } = progress
  if (version > versionOf(model)) return FST_USERS_TABLE_MISMATCH([place, newerMessage(model, version)])
  const count = pendingSteps(model, progress).length
  if (count === 0) return null
  return FST_USERS_TABLE_MISMATCH([
    place,
    `its rows have version ${version} of the model "${model.name}", and upgrade steps to version ` +
      `${versionOf(model)} are pending; run \`npx fastify-users migrate\``
  ])
}

export function newerMessage (model: Model, version: number): string {
  return (
    `was created by a newer version of this package (its schema version is ${version}, ` +
    `this package supports ${versionOf(model)}); update the package`
  )
}

/** Throws `FST_USERS_INVALID_OPTION` if the version or an upgrade step of a model is invalid. */
export function checkUpgrades (model: Model): void {
  const version = versionOf(model)
  if (!Number.isSafeInteger(version) || version < FIRST_VERSION) {
    throw invalidArgument(model.name, '', '`version` must be a positive integer')
  }
  const [primaryKey] = Object.keys(model.fields)
  for (const number of Object.keys(model.upgrades ?? {})) {
    if (!(Number(number) > FIRST_VERSION && Number(number) <= version)) {
      throw invalidArgument(model.name, '', `\`upgrades\` has steps to version ${number}, but \`version\` is ${version}`)
    }
  }
  let after = model.fields
  for (const { change, before } of pendingSteps(model, { version: FIRST_VERSION, done: 0 }).toReversed()) {
    checkUpgradeStep(model, change, after, primaryKey)
    after = before.fields
  }
}

function checkUpgradeStep (
  model: Model,
  change: UpgradeStep,
  after: Model['fields'],
  primaryKey: string | undefined
): void {
  if ('rename' in change) {
    const { rename, to } = change
    if (rename === primaryKey || to === primaryKey) throw invalidArgument(model.name, to, 'is the key and cannot be renamed')
    if (!Object.hasOwn(after, to)) {
      throw invalidArgument(model.name, to, 'is the target of `rename`, so add it to the fields')
    }
    if (Object.hasOwn(after, rename)) {
      throw invalidArgument(model.name, rename, 'is renamed by an upgrade step, so remove it from the fields')
    }
  } else if ('drop' in change) {
    if (Object.hasOwn(after, change.drop)) {
      throw invalidArgument(model.name, change.drop, 'is dropped by an upgrade step, so remove it from the fields')
    }
    if (change.was.references !== undefined) {
      throw invalidArgument(model.name, change.drop, 'refers to another model and cannot be dropped')
    }
  } else if ('dropIndex' in change) {
    for (const field of change.dropIndex) {
      if (!Object.hasOwn(after, field)) {
        throw invalidArgument(model.name, field, 'is in `dropIndex`, but is not a field of the model')
      }
    }
  } else if (typeof change.transform !== 'function') {
    throw invalidArgument(model.name, '', 'has an unknown upgrade step')
  }
}

function fieldsBefore (after: Model['fields'], change: UpgradeStep): Record<string, Field> {
  if ('drop' in change) return { ...after, [change.drop]: change.was }
  if (!('rename' in change)) return after
  return Object.fromEntries(
    Object.entries(after).map(([name, field]) => [name === change.to ? change.rename : name, field])
  )
}

function describeChange (change: UpgradeStep, nameOf: (field: string) => string): string {
  if ('rename' in change) return `rename ${nameOf(change.rename)} to ${nameOf(change.to)}`
  if ('drop' in change) return `drop ${nameOf(change.drop)}`
  if ('dropIndex' in change) return `drop the index on ${change.dropIndex.map(nameOf).join(', ')}`
  return 'transform the rows'
}
