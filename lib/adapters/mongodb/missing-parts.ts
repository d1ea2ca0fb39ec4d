import type { Model } from '../../contracts/models.js'
import { isUsersError } from '../../errors.js'
import { userModelOf } from '../shared/model-registry.js'
import { newerMessage, pendingSteps, type PendingStep, versionOf } from '../shared/upgrades.js'
import type { BsonTypes } from './driver.js'
import { describeDuplicates } from './folded-copies.js'
import {
  collectionIndexPlans,
  compareIndexes,
  describeIndex,
  type FoundIndex,
  type IndexPlan,
  isSufficient,
  readCollectionIndexes
} from './indexes.js'
import { type CollectionMappings, createLayouts, type Layout, layoutOf } from './layout.js'
import { caselessFieldsOf, isCaseless, lacksCopies, refusesCopies } from './lookup.js'
import type { Operations } from './operations.js'
import { adaptToSample, describeArrays } from './sample.js'
import { locationOf, progressOf, readCollectionVersions, VERSIONS } from './schema-version.js'
import { type Server, storageRules } from './server.js'
import { indexesToDrop, layoutBefore } from './upgrades.js'
import { validatorMismatches } from './validators.js'

/** An index that does not exist. The adapter cannot open without a required one. */
export interface MissingIndex {
  readonly plan: IndexPlan
  readonly isRequired: boolean
}

/** A pending upgrade step, and the layout before it. */
export interface PendingUpgrade {
  readonly step: PendingStep
  readonly before: Layout
}

/** The missing parts of one layout. */
export interface MissingParts {
  readonly layout: Layout
  readonly plans: readonly MissingIndex[]
  /** True if the collection does not exist. */
  readonly isNew: boolean
  /** True if the current version is not stored for the layout. */
  readonly needsVersion: boolean
  readonly upgrades: readonly PendingUpgrade[]
  readonly copies: CopiesState
}

/** The folded copies of texts that ignore case in the documents of a collection. */
export interface CopiesState {
  /** True if documents lack copies. */
  readonly areMissing: boolean
  /** True if the adapter cannot open without them. */
  readonly areRequired: boolean
  /** True if another program may have changed texts without changing their copies. */
  readonly areDoubtful: boolean
}

/** The missing parts of all layouts, with problems that `migrate` cannot solve and warnings. */
export interface Findings {
  readonly missing: readonly MissingParts[]
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** The missing parts of one layout, with problems and warnings. Without `parts`, a problem prevents the comparison. */
interface LayoutInspection {
  readonly parts?: MissingParts
  readonly problems: string[]
  readonly warnings: string[]
}

export const NO_COPIES: CopiesState = { areMissing: false, areRequired: false, areDoubtful: false }

/** Compares the collections of models with their layouts. Changes nothing. */
export async function findMissingParts (
  models: readonly Model[],
  collections: CollectionMappings,
  server: Server,
  bson: BsonTypes
): Promise<Findings> {
  const versions = await readCollectionVersions(server.use(VERSIONS))
  const rules = storageRules(server, versions)
  const inspections: LayoutInspection[] = []
  const layouts = createLayouts(models, collections, bson, rules)
  for (const planned of layouts.values()) {
    const operations = server.use(planned.collection)
    if (planned.model.embed !== undefined) {
      const users = server.use(layoutOf(layouts, userModelOf(planned.model)).collection)
      const problem = await describeArrays(planned, users, operations)
      if (problem !== null) inspections.push({ problems: [problem], warnings: [] })
    }
    const progress = await progressOf(planned, versions, operations)
    if (progress.version > versionOf(planned.model)) {
      const problem = `${collectionLabel(planned)} ${newerMessage(planned.model, progress.version)}`
      inspections.push({ problems: [problem], warnings: [] })
      continue
    }
    const upgrades = pendingSteps(planned.model, progress).map((step): PendingUpgrade => {
      return { step, before: layoutBefore(step, models, collections, bson, rules) }
    })
    const needsVersion = (versions.get(locationOf(planned))?.version ?? 0) < versionOf(planned.model)
    inspections.push(await inspectLayout(planned, { operations, upgrades, needsVersion, bson }))
  }
  return {
    missing: inspections.flatMap(({ parts }) => parts ?? []),
    problems: inspections.flatMap(({ problems }) => problems),
    warnings: inspections.flatMap(({ warnings }) => warnings)
  }
}

export function collectionLabel (layout: Layout): string {
  return `the collection ${JSON.stringify(layout.collection)}`
}

interface Context {
  readonly operations: Operations
  readonly upgrades: readonly PendingUpgrade[]
  readonly needsVersion: boolean
  readonly bson: BsonTypes
}

async function inspectLayout (planned: Layout, context: Context): Promise<LayoutInspection> {
  const { operations, upgrades, needsVersion, bson } = context
  const stored = await readCollectionIndexes(operations)
  const dropped = upgrades.flatMap(({ step, before }) => indexesToDrop(before, step.change, stored ?? []))
  const found = stored?.filter((index) => !dropped.includes(index)) ?? null
  const isRefusing =
    planned.isComplete && caselessFieldsOf(planned).length > 0 && refusesCopies(planned, await operations.options())
  const layout: Layout = isRefusing ? { ...planned, lookup: 'collation', isFolding: false } : planned
  const { plans, problems, warnings } = missingIndexes(layout, found)
  const copies = found === null ? NO_COPIES : await inspectCopies(layout, found, operations)
  const isNew = found === null
  const parts: MissingParts = { layout, plans, isNew, needsVersion, upgrades, copies }
  if (isNew) return { parts, problems, warnings }
  if (layout.embedded === undefined && upgrades.length === 0) {
    problems.push(...(await sampleProblems(layout, operations, bson)))
  }
  if (!copies.areMissing && !plans.some(({ plan }) => isOnCopies(layout, plan))) return { parts, problems, warnings }
  const duplicates = (await describeDuplicates(layout, operations)).map((text) => `${collectionLabel(layout)} ${text}`)
  if (duplicates.length === 0) return { parts, problems, warnings }
  if (copies.areRequired) return { parts, problems: [...problems, ...duplicates], warnings }
  // the adapter continues to find texts by the collation
  const others = plans.filter(({ plan }) => !isOnCopies(layout, plan))
  return { parts: { ...parts, plans: others, copies: NO_COPIES }, problems, warnings: [...warnings, ...duplicates] }
}

function missingIndexes (
  layout: Layout,
  found: readonly FoundIndex[] | null
): { plans: MissingIndex[]; problems: string[]; warnings: string[] } {
  const plans: MissingIndex[] = []
  const problems: string[] = []
  const warnings: string[] = []
  const indexes = found ?? []
  const alternatives = isUsedByCollation(layout, indexes)
    ? collectionIndexPlans({ ...layout, lookup: 'collation' })
    : []
  for (const [position, plan] of collectionIndexPlans(layout).entries()) {
    const { match, conflicting } = compareIndexes(indexes, plan)
    if (match === 'full') continue
    const alternative = alternatives[position]
    const isReplaced = alternative !== undefined && isSufficient(indexes, alternative)
    if (conflicting === undefined) {
      plans.push({ plan, isRequired: plan.unique === true && match === 'none' && !isReplaced })
    } else if (match === 'weak') warnings.push(describeConflict(layout, conflicting, plan))
    else problems.push(describeConflict(layout, conflicting, plan))
  }
  return { plans, problems, warnings }
}

async function inspectCopies (
  layout: Layout,
  found: readonly FoundIndex[],
  operations: Operations
): Promise<CopiesState> {
  if (layout.lookup === 'collation' || caselessFieldsOf(layout).length === 0) return NO_COPIES
  const areDoubtful = isUsedByCollation(layout, found)
  const unique = collectionIndexPlans({ ...layout, lookup: 'collation' }).filter((plan) => plan.unique === true)
  return {
    areMissing: await lacksCopies(layout, operations),
    areRequired: !(areDoubtful && unique.every((plan) => isSufficient(found, plan))),
    areDoubtful
  }
}

/**
 * Checks whether an index with the collation of FastAPI Users exists. The adapter then finds texts by this collation.
 */
function isUsedByCollation (layout: Layout, found: readonly FoundIndex[]): boolean {
  return layout.isComplete && found.some((index) => isCaseless(index, caselessFieldsOf(layout)))
}

function isOnCopies (layout: Layout, { key }: IndexPlan): boolean {
  return caselessFieldsOf(layout).some(({ foldedName }) => Object.hasOwn(key, foldedName))
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
