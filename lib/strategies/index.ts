export * from './define.js'
export * from './database/index.js'
export * from './jwt/index.js'
