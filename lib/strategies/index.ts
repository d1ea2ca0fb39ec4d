export * from './define.js'
export * from './database/index.js'
export * from './jwt/index.js'
export * from './redis/index.js'
