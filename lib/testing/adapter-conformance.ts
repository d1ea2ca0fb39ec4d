import type { ConformanceOptions, Declare } from './conformance/context.js'
import { declareConditionTests } from './conformance/conditions.js'
import { declareCreateAllTests } from './conformance/create-all.js'
import { Counter, models as tested } from './conformance/models.js'
import { declareRaceTests } from './conformance/races.js'
import { declareRelationTests } from './conformance/relations.js'
import { declareRowTests } from './conformance/rows.js'
import { declareUniquenessTests } from './conformance/uniqueness.js'
import { declareValueTests } from './conformance/values.js'

export type { ConformanceOptions, TestFunction } from './conformance/context.js'

const models = [...tested, Counter]

/** Declares the tests that every adapter must pass. Each test creates an adapter with `makeAdapter` and closes it. */
export function adapterConformance (options: ConformanceOptions): void {
  const declare: Declare = (name, run) => {
    options.test(name, async () => {
      const adapter = await options.makeAdapter(models)
      try {
        for (const model of models) adapter.define(model)
        await adapter.open()
        await run({ adapter, options })
      } finally {
        await adapter.close?.()
      }
    })
  }
  declareRowTests(declare)
  declareValueTests(declare, options)
  declareConditionTests(declare)
  declareUniquenessTests(declare)
  declareRelationTests(declare, options)
  declareCreateAllTests(declare)
  declareRaceTests(declare)
}
