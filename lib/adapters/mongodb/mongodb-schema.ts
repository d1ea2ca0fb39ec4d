import type { Model } from '../../contracts/models.js'
import type { SchemaPlan, SchemaStep, StoreSchema } from '../../contracts/store-schema.js'
import { FST_USERS_TABLE_MISMATCH, isUsersError } from '../../errors.js'
import { type BsonTypes, loadBsonTypes, type MongoDb } from './driver.js'
import {
  command,
  compareIndexes,
  type FoundIndex,
  type IndexPlan,
  indexPlans,
  makeIndexes,
  wordsOf
} from './indexes.js'
import { type Layout, makeLayouts } from './layout.js'
import { fitSample, type MongoSettings } from './mongodb-adapter.js'
import { connectClient, type Operations, operationsOf } from './operations.js'
import { validatorMisfits } from './validators.js'
import { CURRENT, noteCommand, noteVersion, placeOf, readVersions, VERSIONS } from './schema-version.js'

/** How long a command waits for an answer. Building an index may take as long as it does. Milliseconds. */
const TIMEOUT_MS = 10_000

/** An index that is not there; without a required one the adapter does not open. */
interface LackingIndex {
  readonly plan: IndexPlan
  readonly isRequired: boolean
}

/** What one layout lacks. */
interface Lack {
  readonly layout: Layout
  readonly plans: readonly LackingIndex[]
  readonly isNew: boolean
  readonly notes: boolean
}

/** What all layouts lack, and what people should know. */
interface Findings {
  readonly lacks: readonly Lack[]
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/**
 * The indexes of a MongoDB database, as the command line asks for them. Processes that make them at once do no harm to
 * each other.
 */
export function mongodbSchema (db: MongoDb, { collections }: Pick<MongoSettings, 'collections'>): StoreSchema {
  const use = (collection: string): Operations => operationsOf(db, collection, TIMEOUT_MS)
  const findings = async (models: readonly Model[]): Promise<Findings> => {
    const bson = await loadBsonTypes()
    await connectClient(db, TIMEOUT_MS)
    return await examine([...makeLayouts(models, collections, bson).values()], use, bson)
  }

  return {
    async creation (models) {
      const layouts = [...makeLayouts(models, collections, await loadBsonTypes()).values()]
      return planOf({
        lacks: layouts.map((layout) => ({
          layout,
          plans: indexPlans(layout).map((plan) => ({ plan, isRequired: plan.unique === true })),
          isNew: true,
          notes: true
        })),
        problems: [],
        warnings: []
      })
    },

    plan: async (models) => planOf(await findings(models)),

    async apply (models) {
      const found = await findings(models)
      if (found.problems.length > 0) return planOf(found)
      for (const { layout, plans } of found.lacks) {
        if (plans.length > 0) {
          await makeIndexes(
            layout,
            use(layout.collection),
            plans.map(({ plan }) => plan)
          )
        }
      }
      for (const { layout, notes } of found.lacks) if (notes) await noteVersion(layout, use(VERSIONS))
      const {
        steps: [left]
      } = planOf(await findings(models))
      if (left !== undefined) throw FST_USERS_TABLE_MISMATCH([left.kind, `the database does not do this: ${left.text}`])
      return planOf(found)
    },

    async now () {
      const { localTime } = (await db.command({ hello: 1 }, {})) as { localTime: Date } // part of every answer
      return localTime.getTime()
    }
  }
}

async function examine (
  layouts: readonly Layout[],
  use: (collection: string) => Operations,
  bson: BsonTypes
): Promise<Findings> {
  const versions = await readVersions(use(VERSIONS))
  const lacks: Lack[] = []
  const problems: string[] = []
  const warnings: string[] = []
  for (const layout of layouts) {
    const version = versions.get(placeOf(layout))
    if ((version ?? CURRENT) > CURRENT) {
      problems.push(
        `${nameOf(layout)} was made by a newer version of this package (its schema is ${version}, this package knows ${CURRENT}); update the package`
      )
      continue
    }
    const found = (await use(layout.collection).indexes()) as FoundIndex[] | null // what listIndexes answers
    const plans = indexPlans(layout).flatMap((plan): LackingIndex[] => {
      const { match, inPlace } = compareIndexes(found ?? [], plan)
      if (match === 'full') return []
      if (inPlace === undefined) return [{ plan, isRequired: plan.unique === true && match === 'none' }]
      const text = `${nameOf(layout)} has the index ${JSON.stringify(inPlace.name)} in the place of ${wordsOf(plan)}: drop it by db.getCollection(${JSON.stringify(layout.collection)}).dropIndex(${JSON.stringify(inPlace.name)}) in mongosh, and run migrate`
      if (match === 'weak') warnings.push(text)
      else problems.push(text)
      return []
    })
    lacks.push({ layout, plans, isNew: found === null, notes: version === undefined })
    if (found !== null && layout.embedded === undefined) {
      problems.push(...(await sampleProblems(layout, use(layout.collection), bson)))
    }
  }
  return { lacks, problems, warnings }
}

async function sampleProblems (layout: Layout, operations: Operations, bson: BsonTypes): Promise<string[]> {
  try {
    const fitted = await fitSample(layout, operations, bson)
    return validatorMisfits(fitted, await operations.options()).map((misfit) => `${nameOf(layout)}: ${misfit}`)
  } catch (error) {
    if (!isUsersError(error) || error.code !== 'FST_USERS_TABLE_MISMATCH') throw error
    return [error.message]
  }
}

function planOf ({ lacks, problems, warnings }: Findings): SchemaPlan {
  const steps = lacks.flatMap(({ layout, plans, isNew }): SchemaStep[] =>
    isNew && layout.embedded === undefined
      ? [
          {
            kind: 'table',
            text: `make ${nameOf(layout)} with its indexes: ${plans.map(({ plan }) => JSON.stringify(plan.name)).join(', ')}`,
            statements: plans.map(({ plan }) => command(layout.collection, plan))
          }
        ]
      : plans.map(({ plan, isRequired }) => ({
        kind: isRequired ? 'constraint' : 'index',
        text: `${nameOf(layout)}: add ${wordsOf(plan)}`,
        statements: [command(layout.collection, plan)]
      }))
  )
  const noted = lacks.filter(({ notes }) => notes).map(({ layout }) => noteCommand(layout))
  const note: SchemaStep[] =
    noted.length === 0
      ? []
      : [{ kind: 'note', text: `note version ${CURRENT} of the schema in "${VERSIONS}"`, statements: noted }]
  return { steps: [...steps, ...note], problems, warnings }
}

function nameOf (layout: Layout): string {
  return `the collection ${JSON.stringify(layout.collection)}`
}
