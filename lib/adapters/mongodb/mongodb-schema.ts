import type { Model } from '../../contracts/models.js'
import type { SchemaPlan, SchemaStep, StoreSchema } from '../../contracts/store-schema.js'
import { FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { describeStep } from '../shared/upgrades.js'
import { loadBsonTypes, type MongoDb } from './driver.js'
import { storeCopies } from './folded-copies.js'
import { buildIndexes, collectionIndexPlans, createIndexCommand, describeIndex } from './indexes.js'
import { createLayouts, type Layout } from './layout.js'
import { caselessFieldsOf, lacksCopies } from './lookup.js'
import {
  collectionLabel,
  type Findings,
  findMissingParts,
  type MissingIndex,
  type MissingParts,
  NO_COPIES,
  type PendingUpgrade
} from './missing-parts.js'
import type { MongoSettings } from './mongodb-adapter.js'
import { locationOf, storeStep, storeVersion, versionCommand, VERSIONS, versionsOf } from './schema-version.js'
import { connectServer, type Server } from './server.js'
import { type RenewLock, whileLocked } from './upgrade-lock.js'
import { applyCollectionStep } from './upgrades.js'

/** Time limit of one command, in milliseconds. Index builds have no limit. */
const TIMEOUT_MS = 10_000

/** Creates the schema tool for MongoDB that the command line uses. Several processes may run `apply` at once. */
export function mongodbSchema (db: MongoDb, { collections }: Pick<MongoSettings, 'collections'>): StoreSchema {
  const connect = async (): Promise<Server> => await connectServer(db, TIMEOUT_MS)
  const findMissing = async (models: readonly Model[], server: Server): Promise<Findings> =>
    await findMissingParts(models, collections, server, await loadBsonTypes())
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
          plans: collectionIndexPlans(layout).map((plan) => ({ plan, isRequired: plan.unique === true })),
          isNew: true,
          needsVersion: true,
          upgrades: [],
          copies: NO_COPIES
        })),
        problems: [],
        warnings: []
      })
    },

    plan: async (models) => schemaPlanOf(await findMissing(models, await connect())),

    async apply (models) {
      const server = await connect()
      const changeAll = async (renew: RenewLock): Promise<Findings> => {
        const { missing } = await findMissing(models, server) // another process may have upgraded them meanwhile
        for (const parts of missing) await changeDocuments(parts, server, renew)
        return await findMissing(models, server)
      }
      const found = await findMissing(models, server)
      if (found.problems.length > 0) return schemaPlanOf(found)
      const changed = found.missing.some(changesDocuments)
        ? await whileLocked(server.use(VERSIONS), now, changeAll)
        : found
      if (changed.problems.length > 0) {
        const problems = changed.problems.join('; ')
        throw FST_USERS_TABLE_MISMATCH(['upgrade', `the upgraded collections cannot be used: ${problems}`])
      }
      for (const parts of changed.missing) await createMissing(parts, server)
      for (const { layout, needsVersion } of changed.missing) {
        if (needsVersion) await storeVersion(layout, server.use(VERSIONS))
      }
      const [left] = schemaPlanOf(requiredOf(await findMissing(models, server))).steps
      if (left !== undefined) {
        throw FST_USERS_TABLE_MISMATCH([left.kind, `the database did not apply this step: ${left.text}`])
      }
      return schemaPlanOf(found)
    },

    now
  }
}

/** Checks whether documents must be changed, or their copies compared with their texts. */
function changesDocuments ({ upgrades, copies }: MissingParts): boolean {
  return upgrades.length > 0 || copies.areMissing || copies.areDoubtful
}

/** Applies the upgrade steps of a layout and stores missing copies. */
async function changeDocuments (parts: MissingParts, server: Server, renew: RenewLock): Promise<void> {
  const { layout, upgrades } = parts
  const operations = server.use(layout.collection)
  for (const { step, before } of upgrades) {
    await renew()
    await applyCollectionStep(before, layout, step, operations, renew)
    await storeStep(layout, step, server.use(VERSIONS))
  }
  if (caselessFieldsOf(layout).length > 0 && layout.isFolding && changesDocuments(parts)) {
    await storeCopies(layout, operations, renew)
  }
}

/** Creates missing indexes, and the copies of documents that another process stored without them in the meantime. */
async function createMissing ({ layout, plans, isNew }: MissingParts, server: Server): Promise<void> {
  if (plans.length === 0) return
  const operations = server.use(layout.collection)
  await buildIndexes(layout, operations, plans.map(({ plan }) => plan))
  if (isNew || !layout.isFolding || caselessFieldsOf(layout).length === 0) return
  if (await lacksCopies(layout, operations)) await storeCopies(layout, operations, async () => {})
}

/**
 * Returns the findings without missing copies that the adapter does not require. Another program may store documents
 * without copies at any time.
 */
function requiredOf (findings: Findings): Findings {
  const missing = findings.missing.map((parts) => (parts.copies.areRequired ? parts : { ...parts, copies: NO_COPIES }))
  return { ...findings, missing }
}

function schemaPlanOf ({ missing, problems, warnings }: Findings): SchemaPlan {
  const upgradeSteps = missing.flatMap(({ layout, upgrades }) => upgrades.map((one) => upgradeStepOf(layout, one)))
  const copySteps = missing.filter(({ copies }) => copies.areMissing).map(copyStepOf)
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
  return { steps: [...upgradeSteps, ...copySteps, ...steps, ...versionSteps], problems, warnings }
}

function upgradeStepOf (layout: Layout, { step, before }: PendingUpgrade): SchemaStep {
  const nameOf = (field: string): string => (before.byField.get(field) ?? layout.byField.get(field))?.name ?? field
  return documentStep('upgrade', layout, describeStep(step, nameOf))
}

function copyStepOf ({ layout, copies }: MissingParts): SchemaStep {
  const copied = caselessFieldsOf(layout).map(({ path, foldedName }) => `"${path}" in lower case as "${foldedName}"`)
  return documentStep(copies.areRequired ? 'upgrade' : 'index', layout, `store ${copied.join(', ')}`)
}

function documentStep (kind: SchemaStep['kind'], layout: Layout, text: string): SchemaStep {
  return {
    kind,
    text: `${collectionLabel(layout)}: ${text}`,
    statements: [`// the command fastify-users migrate applies to ${JSON.stringify(locationOf(layout))}: ${text}`]
  }
}

function indexNames (indexes: readonly MissingIndex[]): string {
  return indexes.map(({ plan }) => JSON.stringify(plan.name)).join(', ')
}
