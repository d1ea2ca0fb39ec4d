import { mysqlDialect } from '../adapters/sql/dialects/mysql.js'
import { postgresDialect } from '../adapters/sql/dialects/postgres.js'
import { sqliteDialect } from '../adapters/sql/dialects/sqlite.js'
import type { Dialect } from '../adapters/sql/dialects/dialect.js'
import { migrationOf } from '../adapters/sql/migration/adapter-migration.js'
import { planCreation } from '../adapters/sql/migration/upgrade.js'
import { drizzleModule } from '../adapters/drizzle/definition-text.js'
import { prismaModels } from '../adapters/prisma/schema-text.js'
import type { Model } from '../contracts/models.js'
import type { StoreSchema } from '../contracts/store-schema.js'
import { modelsOf } from '../models.js'
import { storeSchemaOf } from './application.js'
import type { Command, Values } from './command.js'
import { CONFIG_FILE, withConfig, type Config } from './config.js'
import { kDefinitions } from '../symbols.js'
import { scriptOf } from './sql-script.js'

const dialects: ReadonlyMap<string, Dialect> = new Map(
  [sqliteDialect, postgresDialect, mysqlDialect].map((dialect) => [dialect.name, dialect])
)
/** Functions that return definitions of all tables as source text, by the name of the dialect. */
const definitions: ReadonlyMap<unknown, (models: readonly Model[]) => string> = new Map([
  ['drizzle-postgres', (models) => drizzleModule('postgres', models)],
  ['drizzle-mysql', (models) => drizzleModule('mysql', models)],
  ['drizzle-sqlite', (models) => drizzleModule('sqlite', models)],
  ['prisma-postgres', (models) => prismaModels('postgres', models)],
  ['prisma-mysql', (models) => prismaModels('mysql', models)],
  ['prisma-sqlite', (models) => prismaModels('sqlite', models)]
])
const names = [...dialects.keys(), ...definitions.keys()].join(', ')

const HELP = `Usage: fastify-users schema [options]

Prints the statements that create all tables in an empty database: users with their
custom fields, stored tokens, and the tables of features. For mongodb() it prints a
script for mongosh, for drizzle() the definitions of the tables in TypeScript, and
for prisma() the models. It changes nothing and needs no database.

  --dialect NAME   ${[...dialects.keys()].join(', ')}; definitions:
                   drizzle-postgres, drizzle-mysql, drizzle-sqlite,
                   prisma-postgres, prisma-mysql, prisma-sqlite.
                   Default: the dialect of the adapter.
  --config FILE    Config file with the options of the application. Default:
                   ${CONFIG_FILE}.
  --help           Prints this text.

Exit codes: 0 success, 1 refused or failed, 2 wrong usage.`

/** The command `fastify-users schema`. */
export const schemaCommand: Command = {
  summary: 'Prints the statements that create the tables.',
  help: HELP,
  options: { config: { type: 'string', default: CONFIG_FILE }, dialect: { type: 'string' } },

  async run (values, terminal) {
    const name = values['dialect']
    if (name !== undefined && !dialects.has(String(name)) && !definitions.has(name)) {
      terminal.printError(`fastify-users: --dialect must be one of ${names}`)
      return 2
    }
    return await withConfig(values, terminal, async (config) => {
      const define = definitions.get(name ?? definitionDialectOf(config))
      if (define !== undefined) {
        terminal.print(define(modelsOf(config.options, config.settings)))
        return 0
      }
      const plan = planOf(config, name)
      if (plan === null) {
        const problem = `the adapter of ${config.file} has no SQL dialect; choose one with --dialect: ${names}`
        terminal.printError(`fastify-users: ${problem}`)
        return 2
      }
      const { steps } = await plan(modelsOf(config.options, config.settings))
      terminal.print(scriptOf(steps))
      return 0
    })
  }
}

/**
 * Returns the dialect of the adapter's definitions, such as `drizzle-postgres`; undefined for adapters without
 * definitions.
 */
function definitionDialectOf ({ options: { adapter } }: Config): unknown {
  return (adapter as { [kDefinitions]?: unknown })[kDefinitions]
}

/** Returns the function that plans an empty store, or null if the adapter has no schema and no dialect is named. */
function planOf (config: Config, name: Values[string]): StoreSchema['creation'] | null {
  const migration = migrationOf(config.options.adapter)
  // the adapter's own dialect knows the schema of the database that its tables are in
  const dialect = migration?.dialect.name === name ? migration?.dialect : dialects.get(String(name))
  if (dialect === undefined) return storeSchemaOf(config)?.creation ?? null
  return (models) => planCreation(dialect, models, migration?.mappings ?? {})
}
