import type { Model } from '../../contracts/models.js'
import type { SchemaPlan, SchemaStep, StoreSchema } from '../../contracts/store-schema.js'
import { FST_USERS_TABLE_MISMATCH, isUsersError } from '../../errors.js'
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
import { type Layout, createLayouts } from './layout.js'
import { adaptToSample, type MongoSettings } from './mongodb-adapter.js'
import { connectClient, type Operations, operationsOf } from './operations.js'
import { validatorMismatches } from './validators.js'
import { CURRENT, locationOf, readVersions, storeVersion, versionCommand, VERSIONS } from './schema-version.js'

/** Time limit of one command, in milliseconds. Index builds have no limit. */
const TIMEOUT_MS = 10_000

/** An index that does not exist. The adapter cannot open without a required one. */
interface MissingIndex {
  readonly plan: IndexPlan
  readonly isRequired: boolean
}

/** The missing parts of one layout. */
interface MissingParts {
  readonly layout: Layout
  readonly plans: readonly MissingIndex[]
  /** True if the collection does not exist. */
  readonly isNew: boolean
  /** True if no schema version is stored for the layout. */
  readonly needsVersion: boolean
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
    return await findMissingParts([...createLayouts(models, collections, bson).values()], use, bson)
  }

  return {
    async creation (models) {
      const layouts = [...createLayouts(models, collections, await loadBsonTypes()).values()]
      return schemaPlanOf({
        missing: layouts.map((layout) => ({
          layout,
          plans: indexPlans(layout).map((plan) => ({ plan, isRequired: plan.unique === true })),
          isNew: true,
          needsVersion: true
        })),
        problems: [],
        warnings: []
      })
    },

    plan: async (models) => schemaPlanOf(await findMissing(models)),

    async apply (models) {
      const found = await findMissing(models)
      if (found.problems.length > 0) return schemaPlanOf(found)
      for (const { layout, plans } of found.missing) {
        if (plans.length > 0) {
          const missing = plans.map(({ plan }) => plan)
          await buildIndexes(layout, use(layout.collection), missing)
        }
      }
      for (const { layout, needsVersion } of found.missing) if (needsVersion) await storeVersion(layout, use(VERSIONS))
      const { steps } = schemaPlanOf(await findMissing(models))
      const [left] = steps
      if (left !== undefined) {
        throw FST_USERS_TABLE_MISMATCH([left.kind, `the database did not apply this step: ${left.text}`])
      }
      return schemaPlanOf(found)
    },

    async now () {
      const { localTime } = (await db.command({ hello: 1 }, {})) as { localTime: Date } // every server sends it
      return localTime.getTime()
    }
  }
}

type Use = (collection: string) => Operations

async function findMissingParts (layouts: readonly Layout[], use: Use, bson: BsonTypes): Promise<Findings> {
  const versions = await readVersions(use(VERSIONS))
  const missing: MissingParts[] = []
  const problems: string[] = []
  const warnings: string[] = []
  for (const layout of layouts) {
    const version = versions.get(locationOf(layout))
    if ((version ?? CURRENT) > CURRENT) {
      problems.push(
        `${collectionLabel(layout)} was created by a newer version of this package (its schema version is ${version}, ` +
          `this package supports ${CURRENT}); update the package`
      )
      continue
    }
    const found = (await use(layout.collection).indexes()) as FoundIndex[] | null // the reply of listIndexes
    const plans: MissingIndex[] = []
    for (const plan of indexPlans(layout)) {
      const { match, conflicting } = compareIndexes(found ?? [], plan)
      if (match === 'full') continue
      if (conflicting === undefined) plans.push({ plan, isRequired: plan.unique === true && match === 'none' })
      else if (match === 'weak') warnings.push(describeConflict(layout, conflicting, plan))
      else problems.push(describeConflict(layout, conflicting, plan))
    }
    missing.push({ layout, plans, isNew: found === null, needsVersion: version === undefined })
    if (found !== null && layout.embedded === undefined) {
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
  const statements = missing.filter(({ needsVersion }) => needsVersion).map(({ layout }) => versionCommand(layout))
  const text = `record version ${CURRENT} of the schema in "${VERSIONS}"`
  const versionSteps: SchemaStep[] = statements.length === 0 ? [] : [{ kind: 'note', text, statements }]
  return { steps: [...steps, ...versionSteps], problems, warnings }
}

function indexNames (indexes: readonly MissingIndex[]): string {
  return indexes.map(({ plan }) => JSON.stringify(plan.name)).join(', ')
}

function collectionLabel (layout: Layout): string {
  return `the collection ${JSON.stringify(layout.collection)}`
}
