export { sqlite } from './sqlite.js'
export type { SqlAdapterOptions } from './sql-adapter.js'
export type { TableMapping } from './table.js'
