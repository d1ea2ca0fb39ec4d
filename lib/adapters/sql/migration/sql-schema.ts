import type { StoreSchema } from '../../../contracts/store-schema.js'
import { FST_USERS_TABLE_MISMATCH } from '../../../errors.js'
import { checkMappings } from '../schema.js'
import type { Migration, MigrationSource, WhenMissing } from './migration-source.js'

// loaded by the first command, because applications that only serve requests do not migrate
const loadPlans = (): Promise<typeof import('./upgrade.js')> => import('./upgrade.js')
const loadUpgrades = (): Promise<typeof import('./model-upgrades.js')> => import('./model-upgrades.js')

/** Returns the schema operations of an SQL database for the command line. */
export function sqlSchema ({ dialect, mappings, connect }: Migration): StoreSchema {
  async function use<T> (missing: WhenMissing, work: (source: MigrationSource) => Promise<T>): Promise<T> {
    const source = await connect(missing)
    try {
      return await work(source)
    } finally {
      await source.close()
    }
  }

  return {
    creation: async (models) => await (await loadPlans()).planCreation(dialect, models, mappings),

    async plan (models) {
      checkMappings(dialect, models, mappings)
      const { planUpgrade } = await loadPlans()
      return await use('pretend', (source) =>
        source.transaction('read', (database) => planUpgrade(database, models, mappings))
      )
    },

    async apply (models) {
      checkMappings(dialect, models, mappings)
      const [{ planUpgrade }, { applyUpgrades }] = await Promise.all([loadPlans(), loadUpgrades()])
      return await use('create', (source) =>
        source.transaction('write', async (database) => {
          const plan = await planUpgrade(database, models, mappings)
          if (plan.problems.length > 0) return plan
          await applyUpgrades(database, models, mappings)
          const isUpgraded = plan.steps.some(({ kind }) => kind === 'upgrade')
          const { steps, problems } = isUpgraded ? await planUpgrade(database, models, mappings) : plan
          if (problems.length > 0) {
            throw FST_USERS_TABLE_MISMATCH(['upgrade', `the upgraded tables cannot be used: ${problems.join('; ')}`])
          }
          for (const { statements } of steps) for (const statement of statements) await database.run(statement)
          const {
            steps: [left]
          } = await planUpgrade(database, models, mappings)
          if (left !== undefined) {
            throw FST_USERS_TABLE_MISMATCH([left.kind, `the database ran this step without an effect: ${left.text}`])
          }
          return plan
        })
      )
    },

    now: () => use('pretend', (source) => source.transaction('read', async (database) => await database.now()))
  }
}
