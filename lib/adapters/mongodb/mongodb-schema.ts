import type { Model } from '../../contracts/models.js'
import type { SchemaPlan, SchemaStep, StoreSchema } from '../../contracts/store-schema.js'
import { FST_USERS_TABLE_MISMATCH, isUsersError } from '../../errors.js'
import { describeStep, newerMessage, pendingSteps, type PendingStep, versionOf } from '../shared/upgrades.js'
import { type BsonTypes, loadBsonTypes, type MongoDb } from './driver.js'
import {
  createIndexCommand,
  compareIndexes,
  type FoundIndex,
  type IndexPlan,
  indexPlans,
  buildIndexes,
  describeIndex
} from './indexes.js'
import { type CollectionMappings, type Layout, createLayouts } from './layout.js'
import { adaptToSample, type MongoSettings } from './mongodb-adapter.js'
import { connectClient, type Operations, operationsOf } from './operations.js'
import { validatorMismatches } from './validators.js'
import {
  locationOf,
  progressOf,
  readVersions,
  storeStep,
  storeVersion,
  versionCommand,
  VERSIONS,
  versionsOf
} from './schema-version.js'
import { type RenewLock, whileLocked } from './upgrade-lock.js'
import { applyStep, indexesToDrop, layoutBefore } from './upgrades.js'

/** Time limit of one command, in milliseconds. Index builds have no limit. */
const TIMEOUT_MS = 10_000

/** An index that does not exist. The adapter cannot open without a required one. */
interface MissingIndex {
  readonly plan: IndexPlan
  readonly isRequired: boolean
}

/** A pending upgrade step, and the layout before it. */
interface PendingUpgrade {
  readonly step: PendingStep
  readonly before: Layout
}

/** The missing parts of one layout. */
interface MissingParts {
  readonly layout: Layout
  readonly plans: readonly MissingIndex[]
  /** True if the collection does not exist. */
  readonly isNew: boolean
  /** True if the current version is not stored for the layout. */
  readonly needsVersion: boolean
  readonly upgrades: readonly PendingUpgrade[]
}

/** The missing parts of all layouts, with problems that `migrate` cannot solve and warnings. */
interface Findings {
  readonly missing: readonly MissingParts[]
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** Creates the schema tool for MongoDB that the command line uses. Several processes may run `apply` at once. */
export function mongodbSchema (db: MongoDb, { collections }: Pick<MongoSettings, 'collections'>): StoreSchema {
  const use = (collection: string): Operations => operationsOf(db, collection, TIMEOUT_MS)
  const findMissing = async (models: readonly Model[]): Promise<Findings> => {
    const bson = await loadBsonTypes()
    await connectClient(db, TIMEOUT_MS)
    return await findMissingParts(models, collections, use, bson)
  }
  const now = async (): Promise<number> => {
    const { localTime } = (await db.command({ hello: 1 }, {})) as { localTime: Date } // every server sends it
    return localTime.getTime()
  }

  return {
    async creation (models) {
      const layouts = [...createLayouts(models, collections, await loadBsonTypes()).values()]
      return schemaPlanOf({
        missing: layouts.map((layout) => ({
          layout,
          plans: indexPlans(layout).map((plan) => ({ plan, isRequired: plan.unique === true })),
          isNew: true,
          needsVersion: true,
          upgrades: []
        })),
        problems: [],
        warnings: []
      })
    },

    plan: async (models) => schemaPlanOf(await findMissing(models)),

    async apply (models) {
      const upgradeAll = async (renew: RenewLock): Promise<Findings> => {
        const { missing } = await findMissing(models) // another process may have upgraded them meanwhile
        for (const { layout, upgrades } of missing) await applyUpgrades(layout, upgrades, use, renew)
        return await findMissing(models)
      }
      const found = await findMissing(models)
      if (found.problems.length > 0) return schemaPlanOf(found)
      const upgraded = hasUpgrades(found) ? await whileLocked(use(VERSIONS), now, upgradeAll) : found
      if (upgraded.problems.length > 0) {
        const problems = upgraded.problems.join('; ')
        throw FST_USERS_TABLE_MISMATCH(['upgrade', `the upgraded collections cannot be used: ${problems}`])
      }
      for (const { layout, plans } of upgraded.missing) {
        if (plans.length > 0) {
          const missing = plans.map(({ plan }) => plan)
          await buildIndexes(layout, use(layout.collection), missing)
        }
      }
      for (const { layout, needsVersion } of upgraded.missing) {
        if (needsVersion) await storeVersion(layout, use(VERSIONS))
      }
      const { steps } = schemaPlanOf(await findMissing(models))
      const [left] = steps
      if (left !== undefined) {
        throw FST_USERS_TABLE_MISMATCH([left.kind, `the database did not apply this step: ${left.text}`])
      }
      return schemaPlanOf(found)
    },

    now
  }
}

type Use = (collection: string) => Operations

function hasUpgrades ({ missing }: Findings): boolean {
  return missing.some(({ upgrades }) => upgrades.length > 0)
}

async function applyUpgrades (
  layout: Layout,
  upgrades: readonly PendingUpgrade[],
  use: Use,
  renew: RenewLock
): Promise<void> {
  for (const { step, before } of upgrades) {
    await renew()
    await applyStep(before, layout, step, use(layout.collection), renew)
    await storeStep(layout, step, use(VERSIONS))
  }
}

async function findMissingParts (
  models: readonly Model[],
  collections: CollectionMappings,
  use: Use,
  bson: BsonTypes
): Promise<Findings> {
  const versions = await readVersions(use(VERSIONS))
  const missing: MissingParts[] = []
  const problems: string[] = []
  const warnings: string[] = []
  for (const layout of createLayouts(models, collections, bson).values()) {
    const { model } = layout
    const progress = await progressOf(layout, versions, use(layout.collection))
    if (progress.version > versionOf(model)) {
      problems.push(`${collectionLabel(layout)} ${newerMessage(model, progress.version)}`)
      continue
    }
    const upgrades = pendingSteps(model, progress).map((step): PendingUpgrade => {
      return { step, before: layoutBefore(step, models, collections, bson) }
    })
    const stored = (await use(layout.collection).indexes()) as FoundIndex[] | null // the reply of listIndexes
    const dropped = upgrades.flatMap(({ step, before }) => indexesToDrop(before, step.change, stored ?? []))
    const found = stored?.filter((index) => !dropped.includes(index)) ?? null
    const plans: MissingIndex[] = []
    for (const plan of indexPlans(layout)) {
      const { match, conflicting } = compareIndexes(found ?? [], plan)
      if (match === 'full') continue
      if (conflicting === undefined) plans.push({ plan, isRequired: plan.unique === true && match === 'none' })
      else if (match === 'weak') warnings.push(describeConflict(layout, conflicting, plan))
      else problems.push(describeConflict(layout, conflicting, plan))
    }
    const recorded = versions.get(locationOf(layout))?.version ?? 0
    missing.push({ layout, plans, isNew: found === null, needsVersion: recorded < versionOf(model), upgrades })
    if (found !== null && layout.embedded === undefined && upgrades.length === 0) {
      problems.push(...(await sampleProblems(layout, use(layout.collection), bson)))
    }
  }
  return { missing, problems, warnings }
}

function describeConflict (layout: Layout, { name }: FoundIndex, plan: IndexPlan): string {
  const drop = `db.getCollection(${JSON.stringify(layout.collection)}).dropIndex(${JSON.stringify(name)})`
  return (
    `${collectionLabel(layout)} has the index ${JSON.stringify(name)} instead of ${describeIndex(plan)}; ` +
    `drop it with ${drop} in mongosh, and run migrate`
  )
}

/** Returns the problems that a stored document and the validator of an existing collection show. */
async function sampleProblems (layout: Layout, operations: Operations, bson: BsonTypes): Promise<string[]> {
  try {
    const adapted = await adaptToSample(layout, operations, bson)
    const mismatches = validatorMismatches(adapted, await operations.options())
    return mismatches.map((mismatch) => `${collectionLabel(layout)}: ${mismatch}`)
  } catch (error) {
    if (!isUsersError(error) || error.code !== 'FST_USERS_TABLE_MISMATCH') throw error
    return [error.message]
  }
}

function schemaPlanOf ({ missing, problems, warnings }: Findings): SchemaPlan {
  const upgradeSteps = missing.flatMap(({ layout, upgrades }) => upgrades.map((one) => upgradeStepOf(layout, one)))
  const steps = missing.flatMap(({ layout, plans, isNew }): SchemaStep[] =>
    isNew && layout.embedded === undefined
      ? [
          {
            kind: 'table',
            text: `create ${collectionLabel(layout)} with its indexes: ${indexNames(plans)}`,
            statements: plans.map(({ plan }) => createIndexCommand(layout.collection, plan))
          }
        ]
      : plans.map(({ plan, isRequired }) => ({
        kind: isRequired ? 'constraint' : 'index',
        text: `${collectionLabel(layout)}: add ${describeIndex(plan)}`,
        statements: [createIndexCommand(layout.collection, plan)]
      }))
  )
  const unrecorded = missing.filter(({ needsVersion }) => needsVersion).map(({ layout }) => layout)
  const statements = unrecorded.map(versionCommand)
  const text = `record version ${versionsOf(unrecorded.map(({ model }) => model))} of the schema in "${VERSIONS}"`
  const versionSteps: SchemaStep[] = statements.length === 0 ? [] : [{ kind: 'note', text, statements }]
  return { steps: [...upgradeSteps, ...steps, ...versionSteps], problems, warnings }
}

function upgradeStepOf (layout: Layout, { step, before }: PendingUpgrade): SchemaStep {
  const nameOf = (field: string): string => (before.byField.get(field) ?? layout.byField.get(field))?.name ?? field
  const text = describeStep(step, nameOf)
  return {
    kind: 'upgrade',
    text: `${collectionLabel(layout)}: ${text}`,
    statements: [`// the command fastify-users migrate applies to ${JSON.stringify(locationOf(layout))}: ${text}`]
  }
}

function indexNames (indexes: readonly MissingIndex[]): string {
  return indexes.map(({ plan }) => JSON.stringify(plan.name)).join(', ')
}

function collectionLabel (layout: Layout): string {
  return `the collection ${JSON.stringify(layout.collection)}`
}
