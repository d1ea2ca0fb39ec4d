export * from './background.js'
export * from './hook-registry.js'
